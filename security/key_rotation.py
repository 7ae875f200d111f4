"""Key rotation: every ciphertext under the first key, while the service runs.

Threat: a key that has leaked and stays, because replacing it would stop the service, lose what is written
meanwhile, or leave half of the rows unreadable when it is interrupted. Guarantee: ``manage.py rotate_keys``
encrypts in batches what is not yet under the first key of ENCRYPTION_KEYS. A row is replaced by one statement
if it still holds the ciphertext that was read, so that a write in between wins. At every moment each row
opens under some key of the keyring; killed anywhere, the command goes on where it was when it is run again.

It runs as the ops role, which may replace the ciphertexts and nothing else: where a column holds more than a
ciphertext, as that of the seeds has passkeys and the hashes of recovery codes beside them, a trigger refuses
it whatever is none. An encrypted column that no migration opens to it with ``Rotation`` ends start-up:
security.E089. Where the migrations ran without knowing the role, it would see no row and call that done, and
the old key would be thrown away: the command refuses, and ``migrate`` with DATABASE_OPS_URL opens the column.

Which columns: each ``EncryptedField``, and what an AppConfig names in ``encrypted``. ASVS 11.1.1, 11.2.2,
13.3.4.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from psycopg import sql

from security.database_roles import let_operators_read
from security.encryption import CannotDecrypt, current_key_id, decrypt, encrypt, encrypted_fields

BATCH_ROWS = 500
#: The form of a ciphertext, for PostgreSQL: what is in it, the database cannot know.
CIPHERTEXT = "^[a-z0-9][a-z0-9-]{0,15}:[A-Za-z0-9_-]{38,}={0,2}$"
REFUSE = """
CREATE OR REPLACE FUNCTION security_refuse_rotation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE insufficient_privilege USING MESSAGE = 'the operators'' role replaces ciphertexts and nothing else';
END $$
"""


@dataclass(frozen=True, slots=True)
class Holding:
    """A column with ciphertext: as it is, or as ``members`` of a JSON object; ``row``: what binds it."""

    table: str
    column: str
    row: str = "public_id"
    members: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


@dataclass(slots=True)
class Progress:
    """What has become of the rows so far: ``conflicts`` were written meanwhile, ``broken`` do not open."""

    rotated: int = 0
    conflicts: int = 0
    broken: int = 0


class Rotation(Operation):
    """Migration step: the ops role may replace the ciphertexts in ``columns`` of ``table``, and them alone.

    They are whole columns or, with ``members``, those members of JSON objects. A trigger keeps from the role
    what a right on a column would give it as well: to put something else there, to empty it or to fill it.
    """

    reversible = True

    def __init__(self, table: str, *columns: str, members: tuple[str, ...] = ()) -> None:
        self.table = table
        self.columns = columns
        self.members = members

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The models do not change."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if not settings.DATABASE_OPS:
            return
        table, columns, ops = self._names(schema_editor)
        schema_editor.execute(f"GRANT UPDATE ({columns}) ON {table} TO {ops}")
        # Without row-level security on the table, the policy waits for it.
        schema_editor.execute(f"DROP POLICY IF EXISTS rotation ON {table}")
        schema_editor.execute(f"CREATE POLICY rotation ON {table} FOR UPDATE TO {ops} USING (true)")
        kept = sql.SQL(" AND ").join(map(self._replaces, self.columns)).as_string()
        role = sql.Literal(settings.DATABASE_OPS["USER"]).as_string()
        schema_editor.execute(REFUSE)
        schema_editor.execute(f"DROP TRIGGER IF EXISTS rotation ON {table}")
        schema_editor.execute(
            f"CREATE TRIGGER rotation BEFORE UPDATE ON {table} FOR EACH ROW WHEN "
            f"(current_user = {role} AND ({kept}) IS NOT TRUE) EXECUTE FUNCTION security_refuse_rotation()"
        )

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if not settings.DATABASE_OPS:
            return
        table, columns, ops = self._names(schema_editor)
        schema_editor.execute(f"DROP TRIGGER IF EXISTS rotation ON {table}")
        schema_editor.execute(f"DROP POLICY IF EXISTS rotation ON {table}")
        schema_editor.execute(f"REVOKE UPDATE ({columns}) ON {table} FROM {ops}")

    def _names(self, schema_editor: Any) -> tuple[str, str, str]:
        quote = schema_editor.quote_name
        columns = ", ".join(map(quote, self.columns))
        return quote(self.table), columns, quote(settings.DATABASE_OPS["USER"])

    def _replaces(self, column: str) -> sql.Composable:
        """Whether a ciphertext has come where one was, and where none was there is none."""
        if not self.members:
            return _is_replaced(
                sql.SQL("OLD.{}").format(sql.Identifier(column)),
                sql.SQL("NEW.{}").format(sql.Identifier(column)),
            )
        old, new = (sql.SQL(row + ".{}").format(sql.Identifier(column)) for row in ("OLD", "NEW"))
        members = sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join(map(sql.Literal, self.members)))
        conditions: list[sql.Composable] = [sql.SQL("{0} - {2} = {1} - {2}").format(old, new, members)]
        conditions += [
            _is_replaced(
                sql.SQL("({}->>{})").format(old, sql.Literal(member)),
                sql.SQL("({}->>{})").format(new, sql.Literal(member)),
            )
            for member in self.members
        ]
        return sql.SQL(" AND ").join(conditions)


def _is_replaced(old: sql.Composable, new: sql.Composable) -> sql.Composable:
    return sql.SQL("({0} IS NOT DISTINCT FROM {1} OR {0} IS NOT NULL AND {1} ~ {2})").format(
        old, new, sql.Literal(CIPHERTEXT)
    )


def holdings() -> list[Holding]:
    """Every column with ciphertext, in order of name."""
    found = [
        Holding(model._meta.db_table, str(field.column))
        for model in apps.get_models()
        for field in encrypted_fields(model)
    ]
    for app in apps.get_app_configs():
        found += getattr(app, "encrypted", ())
    return sorted(found, key=str)


#: Whether a role reads and replaces every row of a column. No row where the column is not there (yet).
REACHES = """
SELECT has_column_privilege(%(role)s, c.oid, a.attnum, 'SELECT')
   AND has_column_privilege(%(role)s, c.oid, a.attnum, 'UPDATE')
   AND (NOT c.relrowsecurity OR (
       SELECT count(*) FROM pg_policy p JOIN pg_roles r ON r.oid = ANY (p.polroles)
        WHERE p.polrelid = c.oid AND r.rolname = %(role)s AND p.polname IN ('operators', 'rotation')) = 2)
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE c.oid = to_regclass(%(table)s) AND a.attname = %(column)s AND NOT a.attisdropped
"""


def out_of_reach() -> list[Holding]:
    """The columns with ciphertext that the ops role cannot rotate, whatever migrations say."""
    role, quote = settings.DATABASE_OPS["USER"], connection.ops.quote_name
    found = []
    with connection.cursor() as cursor:
        for holding in holdings():
            cursor.execute(REACHES, {"role": role, "table": quote(holding.table), "column": holding.column})
            if (False,) in cursor.fetchall():
                found.append(holding)
    return found


def bring_into_reach() -> None:
    """As the owner: what migrations did not open, as they did not know the ops role."""
    tables = {holding.table for holding in out_of_reach()}
    if not tables:
        return
    with connection.schema_editor() as schema_editor:
        quote = schema_editor.quote_name
        ops = quote(settings.DATABASE_OPS["USER"])
        schema_editor.execute(f"GRANT USAGE ON SCHEMA public TO {ops}")
        for table in sorted(tables):
            schema_editor.execute(f"GRANT SELECT ON {quote(table)} TO {ops}")
            let_operators_read(schema_editor, quote(table))
        for rotation in _rotations():
            if rotation.table in tables:
                rotation.database_forwards("", schema_editor, None, None)


def count_stale(holding: Holding) -> int:
    """How many rows are not under the first key."""
    statement = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(
        sql.Identifier(holding.table), _is_stale(holding)
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)
        ((count,),) = cursor.fetchall()
    return int(count)


def rotate(holding: Holding, *, batch_rows: int = BATCH_ROWS) -> Iterator[Progress]:
    """Encrypt anew what is not under the first key. Yields after each batch, in which nothing is pending."""
    progress = Progress()
    after = 0
    while rows := _read(holding, after, batch_rows):
        after = rows[-1][0]
        renewed = []
        for key, row, old in rows:
            try:
                renewed.append((key, old, _renew(holding, row, old)))
            except CannotDecrypt:
                progress.broken += 1
        replaced = _replace(holding, renewed)
        progress.rotated += replaced
        progress.conflicts += len(renewed) - replaced
        yield progress


def _is_stale(holding: Holding) -> sql.Composable:
    column, prefix = sql.Identifier(holding.column), sql.Literal(f"{current_key_id()}:")
    values: list[sql.Composable] = [
        sql.SQL("{}->>{}").format(column, sql.Literal(member)) for member in holding.members
    ]
    # What is NULL is not there, and so not stale.
    stale = [sql.SQL("NOT starts_with({}, {})").format(value, prefix) for value in values or [column]]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(stale))


def _read(holding: Holding, after: int, batch_rows: int) -> list[tuple[int, str, str]]:
    """The next rows that are stale: key, what the ciphertext is bound to, and the column as text."""
    statement = sql.SQL(
        "SELECT id, {row}::text, {column}::text FROM {table} WHERE id > %s AND {stale} ORDER BY id LIMIT %s"
    ).format(
        row=sql.Identifier(holding.row),
        column=sql.Identifier(holding.column),
        table=sql.Identifier(holding.table),
        stale=_is_stale(holding),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [after, batch_rows])
        rows: list[tuple[int, str, str]] = cursor.fetchall()
    return rows


def _renew(holding: Holding, row: str, old: str) -> str:
    """The column's text under the first key. Raises CannotDecrypt."""
    place = {"table": holding.table, "column": holding.column, "row": row}
    if not holding.members:
        return encrypt(decrypt(old, **place), **place)
    data: dict[str, Any] = json.loads(old)
    found = holding.members & data.keys()
    return json.dumps({**data, **{name: encrypt(decrypt(data[name], **place), **place) for name in found}})


def _replace(holding: Holding, renewed: list[tuple[int, str, str]]) -> int:
    """Compare and swap, in one statement; the number of rows that still held what had been read."""
    statement = sql.SQL(
        "UPDATE {table} t SET {column} = v.new::{kind} "
        "FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS v (id, old, new) "
        "WHERE t.id = v.id AND t.{column} = v.old::{kind}"
    ).format(
        table=sql.Identifier(holding.table),
        column=sql.Identifier(holding.column),
        kind=sql.SQL("jsonb" if holding.members else "text"),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [list(part) for part in zip(*renewed, strict=True)] or [[], [], []])
        return int(cursor.rowcount)


@register(Tags.security)
def check_key_rotation(**kwargs: Any) -> list[CheckMessage]:
    """security.E089: a column with ciphertext that no migration opens to the rotation."""
    opened = {
        (rotation.table, column, rotation.members) for rotation in _rotations() for column in rotation.columns
    }
    return [
        Error(
            f"{holding} is encrypted, and its key could not be replaced.",
            hint=f'Add Rotation("{holding.table}", "{holding.column}") of security.key_rotation to a '
            "migration, with the members if it is JSON.",
            id="security.E089",
        )
        for holding in holdings()
        if (holding.table, holding.column, holding.members) not in opened
    ]


def _rotations() -> list[Rotation]:
    """The steps of all migrations on disk."""
    migrations = MigrationLoader(None).disk_migrations.values()
    return [
        operation
        for migration in migrations
        for operation in migration.operations
        if isinstance(operation, Rotation)
    ]
