#!/bin/sh
# The database image runs this once, when its data directory is new. The passwords reach psql through its
# environment, and that of no other process.
set -eu
here=$(dirname "$0")
OWNER_PASSWORD=$(cat /run/secrets/owner_password) \
SERVICE_PASSWORD=$(cat /run/secrets/service_password) \
OPS_PASSWORD=$(cat /run/secrets/ops_password) \
  exec psql --no-psqlrc --quiet --username postgres --dbname postgres --file "$here/sql/roles.sql"
