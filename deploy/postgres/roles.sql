-- The three roles and the database, for psql connected as a superuser. Passwords come from the environment,
-- not from arguments, which every user of the machine can read.
\set ON_ERROR_STOP on
\getenv owner_password OWNER_PASSWORD
\getenv service_password SERVICE_PASSWORD
\getenv ops_password OPS_PASSWORD

-- Migrates, and owns every table. CREATEDB is for the test database.
CREATE ROLE portcullis_owner LOGIN NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS CREATEDB
    PASSWORD :'owner_password';
-- What the API runs as: owns nothing.
CREATE ROLE portcullis_service LOGIN NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS NOCREATEDB
    PASSWORD :'service_password';
-- Operators' commands.
CREATE ROLE portcullis_ops LOGIN NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS NOCREATEDB
    PASSWORD :'ops_password';

-- One stuck statement, lock or transaction must not hold a worker's thread for ever: the API answers 503.
ALTER ROLE portcullis_service SET statement_timeout = '15s';
ALTER ROLE portcullis_service SET lock_timeout = '5s';
ALTER ROLE portcullis_service SET idle_in_transaction_session_timeout = '30s';

CREATE DATABASE portcullis OWNER portcullis_owner;
REVOKE ALL ON DATABASE portcullis FROM PUBLIC;
GRANT CONNECT ON DATABASE portcullis TO portcullis_service, portcullis_ops;
