"""Database roles: the API runs as a role that owns nothing.

Threat: an injection or a stolen connection string that can drop a trigger, alter a policy or rewrite the
audit trail, because the application connects as the owner of its tables. Guarantee: three roles.
``owner`` migrates and owns every table. ``service`` is what the API and the tests run as: it reads and
writes rows, may only insert into and read the audit trail, and can neither alter nor drop anything.
``ops`` is for operators' commands: it reads, and replaces ciphertexts (security.key_rotation).

``manage.py migrate`` connects as the owner (DATABASE_OWNER_URL), ``rotate_keys`` as ops (DATABASE_OPS_URL),
everything else as the service role. The rights are given by migrations. ASVS 13.2.2, 16.4.2.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

CREDENTIALS = ("USER", "PASSWORD")


@contextmanager
def owner() -> Iterator[None]:
    """Let the default connection be the owner's for a while. Raises ImproperlyConfigured without one."""
    if not settings.DATABASE_OWNER:
        raise ImproperlyConfigured(
            "DATABASE_OWNER_URL is not set. Migrations run as the role that owns the tables, which the API's "
            "own role does not; give the owner's URL to this command only."
        )
    with _connected_as(settings.DATABASE_OWNER):
        yield


@contextmanager
def operators() -> Iterator[None]:
    """Let the default connection be the ops role's for a while. Raises ImproperlyConfigured without one."""
    if not settings.DATABASE_OPS:
        raise ImproperlyConfigured(
            "DATABASE_OPS_URL is not set. This command runs as the operators' role, which the API's is not; "
            "give its URL to this command only."
        )
    with _connected_as(settings.DATABASE_OPS):
        yield


@contextmanager
def _connected_as(role: dict[str, Any]) -> Iterator[None]:
    service = {key: connection.settings_dict[key] for key in CREDENTIALS}
    connection.close()
    connection.settings_dict.update({key: role[key] for key in CREDENTIALS})
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(service)


def grant_rights(apps: Any, schema_editor: Any) -> None:
    """Migration step: what the service and ops roles may do with tables that exist and those to come."""
    quote = schema_editor.quote_name
    service = quote(settings.DATABASE_SERVICE_ROLE)
    schema_editor.execute(f"GRANT USAGE ON SCHEMA public TO {service}")
    rows = "SELECT, INSERT, UPDATE, DELETE"
    for kind, rights in (("TABLES", rows), ("SEQUENCES", "USAGE, SELECT")):
        schema_editor.execute(f"GRANT {rights} ON ALL {kind} IN SCHEMA public TO {service}")
        schema_editor.execute(
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {rights} ON {kind} TO {service}"
        )
    # Which migrations ran is the owner's to write.
    schema_editor.execute(f"REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {service}")
    if settings.DATABASE_OPS:
        ops = quote(settings.DATABASE_OPS["USER"])
        schema_editor.execute(f"GRANT USAGE ON SCHEMA public TO {ops}")
        schema_editor.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {ops}")
        schema_editor.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {ops}")


def let_operators_read(schema_editor: Any, table: str) -> None:
    """Migration step: the ops role sees all of ``table``, quoted. Without row security it waits for it."""
    ops = schema_editor.quote_name(settings.DATABASE_OPS["USER"])
    schema_editor.execute(f"DROP POLICY IF EXISTS operators ON {table}")
    schema_editor.execute(f"CREATE POLICY operators ON {table} FOR SELECT TO {ops} USING (true)")


def make_append_only(table: str) -> Any:
    """A migration step that leaves the service role INSERT and SELECT on ``table``."""
    return _revoke("UPDATE, DELETE, TRUNCATE", table)


def refuse_rows(table: str) -> Any:
    """A migration step after which the service role writes no row of ``table``, which has to stay empty."""
    return _revoke("INSERT, UPDATE", table)


def _revoke(rights: str, table: str) -> Any:
    def revoke(apps: Any, schema_editor: Any) -> None:
        quote = schema_editor.quote_name
        service = quote(settings.DATABASE_SERVICE_ROLE)
        schema_editor.execute(f"REVOKE {rights} ON {quote(table)} FROM {service}")

    return revoke


@register(Tags.security)
def check_database_roles(**kwargs: Any) -> list[CheckMessage]:
    """security.E040: both URLs, where this process has both, must name two roles."""
    if settings.DATABASE_OWNER and settings.DATABASE_OWNER["USER"] == settings.DATABASE_SERVICE_ROLE:
        return [
            Error(
                "DATABASE_URL and DATABASE_OWNER_URL name the same role.",
                hint="Create a role that owns nothing (deploy/postgres) and name it in DATABASE_URL.",
                id="security.E040",
            )
        ]
    return []
