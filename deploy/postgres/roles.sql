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

CREATE DATABASE portcullis OWNER portcullis_owner;
REVOKE ALL ON DATABASE portcullis FROM PUBLIC;
GRANT CONNECT ON DATABASE portcullis TO portcullis_service, portcullis_ops;
