"""What the test's own statements see. Requests are served with row security in force; a test that arranges
and asserts looks at every tenant's rows, by a policy that only the test database has.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

TABLES = "SELECT c.relname FROM pg_class c WHERE c.relrowsecurity"
SETTING = "app.tests_see_everything"


def add_policy() -> None:
    """To every table with row security; by its owner."""
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        for (table,) in cursor.fetchall():
            seen = f"current_setting('{SETTING}', true) = 'on'"
            cursor.execute(f"CREATE POLICY tests ON {table} USING ({seen}) WITH CHECK ({seen})")


def see_everything(*, on: bool) -> None:
    """For this thread's connection. Past Django, so that no budget counts it."""
    connection.ensure_connection()
    connection.connection.execute(f"SET {SETTING} = '{'on' if on else 'off'}'")


@contextmanager
def row_security_in_force() -> Iterator[None]:
    """For the length of the block."""
    raw = connection.connection
    if raw is None or raw.execute(f"SELECT current_setting('{SETTING}', true)").fetchone()[0] != "on":
        yield
        return
    see_everything(on=False)
    # A request starts in a transaction of its own, without a tenant; here it may share the test's.
    raw.execute("SELECT set_config('app.organisation', '', true)")
    try:
        yield
    finally:
        if connection.connection is not None:
            see_everything(on=True)
