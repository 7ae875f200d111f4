"""security.database_roles."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import ProgrammingError, connection, transaction

from security.database_roles import check_database_roles, owner


def query(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


@pytest.mark.django_db
def test_the_tests_and_the_api_run_as_a_role_that_owns_nothing(settings):
    ((user,),) = query("SELECT current_user")
    assert user == settings.DATABASE_SERVICE_ROLE
    assert query("SELECT tablename FROM pg_tables WHERE tableowner = current_user") == []
    assert query(
        "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication FROM pg_roles"
        " WHERE rolname = current_user"
    ) == [(False, False, False, False, False)]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE stolen (id int)",
        "ALTER TABLE accounts_user ADD COLUMN stolen int",
        "DROP TABLE accounts_user",
        "ALTER TABLE security_auditevent DISABLE TRIGGER USER",
        "TRUNCATE accounts_user CASCADE",
        "INSERT INTO django_migrations (app, name, applied) VALUES ('a', 'b', now())",
        "GRANT ALL ON accounts_user TO PUBLIC",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
def test_the_service_role_changes_no_structure(statement):
    with transaction.atomic(), connection.cursor() as cursor:
        try:
            with transaction.atomic():
                cursor.execute(statement)
        except ProgrammingError as error:
            assert error.__cause__.sqlstate == "42501"  # noqa: PT017  insufficient privilege
        else:
            # GRANT by somebody who may not grant is a warning, and grants nothing.
            assert statement.startswith("GRANT")
            assert query("SELECT has_table_privilege('public', 'accounts_user', 'SELECT')") == [(False,)]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "limit", ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
)
def test_nothing_holds_a_thread_for_ever(limit):
    assert query(f"SELECT current_setting('{limit}')") != [("0",)]


@pytest.mark.django_db(transaction=True)
def test_the_owner_is_the_owner_for_a_while_only(settings):
    with owner():
        assert query("SELECT current_user") == [(settings.DATABASE_OWNER["USER"],)]
    assert query("SELECT current_user") == [(settings.DATABASE_SERVICE_ROLE,)]


@pytest.mark.django_db(transaction=True)
def test_the_operators_role_reads(settings):
    if not settings.DATABASE_OPS:
        return  # a database of the caller's own, without the role
    ops = settings.DATABASE_OPS["USER"]
    assert query(f"SELECT has_table_privilege('{ops}', 'security_auditevent', 'SELECT')") == [(True,)]
    assert query(f"SELECT has_table_privilege('{ops}', 'accounts_user', 'UPDATE')") == [(False,)]


def test_migrate_without_an_owner_says_what_to_do(settings):
    settings.DATABASE_OWNER = {}

    with pytest.raises(ImproperlyConfigured, match="DATABASE_OWNER_URL"):
        call_command("migrate", verbosity=0)


def test_one_role_for_both_is_an_error(settings):
    assert check_database_roles() == []
    settings.DATABASE_OWNER = {**settings.DATABASE_OWNER, "USER": settings.DATABASE_SERVICE_ROLE}

    (error,) = check_database_roles()

    assert error.id == "security.E040"
