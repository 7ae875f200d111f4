"""Row security: the database itself shows a tenant's rows to that tenant alone.

Threat: one forgotten filter in one view, command or report, and every tenant reads every row; or a contact,
who may see one object, reads all of the organisation's. Guarantee: each table whose rows belong to an
organisation has row-level security. The service role sees and writes only rows of the organisation in
``app.organisation``, and only where ``app.member`` is on. Otherwise it is a contact's request: it reads the
rows for which the person in ``app.user``, or one of the groups in ``app.groups``, holds a grant, and writes
none. The authentication statement sets the four for the length of the request's transaction; commands set
what they need with ``tenant()``. Where they are not set, there is no row. This net holds without the queryset
scoping of security.object_permissions, as that one holds without this.

A model of such a table derives from ``TenantModel``, and its migration adds ``RowSecurity``: security.E050 to
E052 otherwise, which end start-up. A table that only points to a tenant's rows is one as well. Where one
tenant's table points to another, the trigger ``SameTenant`` keeps both rows in one organisation
(security.E053): a foreign key is judged past row security. Tables that authentication reads before a tenant
is known are exempt, each with its reason in ``EXEMPT``; what is of no tenant is in ``OF_NO_TENANT``, and no
table of ours is elsewhere (security.E054). The owner of the tables is not bound by policies: it migrates. The
ops role reads all.

OWASP API1:2023. ASVS 8.2.2, 8.2.3, 8.4.1.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeGuard

import pgtrigger
from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connection, models, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import CreateModel, DeleteModel, RenameModel, SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation

from security.database_roles import let_operators_read

# The nullif: after a SET LOCAL has ended the setting is an empty string, which is no number. The SELECT: so
# that the planner evaluates it once for a statement, not once for a row.
ORGANISATION = "(SELECT nullif(current_setting('app.organisation', true), '')::bigint)"
PERSON = "(SELECT nullif(current_setting('app.user', true), '')::bigint)"
GROUPS = "CAST((SELECT string_to_array(current_setting('app.groups', true), ',')) AS integer[])"
MEMBER = "(SELECT current_setting('app.member', true) = 'on')"
CONTACT = "(SELECT current_setting('app.member', true) IS DISTINCT FROM 'on')"
#: What a member of the organisation sees and writes.
OF_MEMBERS = f"organisation_id = {ORGANISATION} AND {MEMBER}"
POLICIES = ("tenant", "member", "shared", "append")
SETTINGS = ("app.organisation", "app.member")

#: Tables with an organisation that are not for their tenant alone, and why.
EXEMPT = {
    "accounts.membership": "authentication finds the tenant by it; its policies let members alone write",
    "oauth.application": "the token endpoint reads it before there is a tenant",
    "oauth.grant": "redeemed by its digest before there is a tenant",
    "oauth.accesstoken": "the authentication statement finds it by its digest",
    "oauth.refreshtoken": "redeemed by its digest before there is a tenant",
    "oauth.pushedrequest": "redeemed by its digest before there is a tenant; its client may be of none",
    "oauth.idtoken": "the library's, and empty: there are no ID tokens",
    "guardian.userobjectpermission": "takes no row: each shared model has grants of its own",
    "guardian.groupobjectpermission": "takes no row: each shared model has grants of its own",
}

#: Tables of ours with rows of no tenant, and why. A model that is not here says its tenant.
OF_NO_TENANT = {
    "accounts.organisation": "the tenants themselves",
    "accounts.user": "a person may belong to several",
    "accounts.user_groups": "whom a grant may name, for each of the person's organisations",
    "accounts.user_user_permissions": "Django's, and empty: a role gives every right",
    "accounts.session": "a person's, before an organisation is chosen",
    "security.quotause": "counts what a person did, in whatever organisation",
}


class TenantModel(models.Model):
    """A row of one organisation, known here by an opaque number."""

    organisation_id = models.BigIntegerField(editable=False)

    class Meta:
        abstract = True


class TenantTrigger(pgtrigger.Trigger):
    """A trigger that keeps a row in the organisation of the row that its field ``reference`` names."""

    reference: str


class SameTenant(TenantTrigger):
    """Refuses a row whose ``reference`` is another organisation's row, as it does one that is not there.

    The foreign key takes it: PostgreSQL looks past row security to judge one. So a forgotten filter before a
    write would tie two tenants together.
    """

    when = pgtrigger.Before

    def __init__(self, reference: str) -> None:
        self.reference = reference
        columns = pgtrigger.UpdateOf(f"{reference}_id", "organisation_id")  # type: ignore[no-untyped-call]  # the library's
        super().__init__(name=f"same_tenant_{reference}", operation=pgtrigger.Insert | columns)

    def get_func(self, model: Any) -> str:
        field = model._meta.get_field(self.reference)
        target = field.related_model._meta.db_table
        return (
            f"IF NEW.{field.column} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {target} o "  # noqa: S608  names of models
            f"WHERE o.{field.target_field.column} = NEW.{field.column} "
            "AND o.organisation_id = NEW.organisation_id) THEN "
            "RAISE foreign_key_violation USING MESSAGE = 'no such row in the organisation'; "
            "END IF; RETURN NEW;"
        )


class RowSecurity(Operation):
    """Migration step: row-level security on the table of ``model_name``. Run again, it replaces the policies.

    ``grants`` names the models of the same app whose rows share one of this table with a contact
    (security.object_permissions). ``held`` is for such a model itself: its rows are shown to their holder.
    ``anyone_appends`` is for the audit trail, which takes events of callers without a tenant; they are read
    by their tenant all the same.
    """

    reversible = True

    def __init__(
        self,
        model_name: str,
        *,
        anyone_appends: bool = False,
        grants: tuple[str, ...] = (),
        held: bool = False,
    ) -> None:
        self.model_name = model_name
        self.anyone_appends = anyone_appends
        self.grants = grants
        self.held = held

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The models do not change."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        quote = schema_editor.quote_name
        model = to_state.apps.get_model(app_label, self.model_name)
        table = quote(model._meta.db_table)
        self._drop(schema_editor, table)
        schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        if self.anyone_appends:
            schema_editor.execute(f"CREATE POLICY member ON {table} FOR SELECT USING ({OF_MEMBERS})")
            schema_editor.execute(f"CREATE POLICY append ON {table} FOR INSERT WITH CHECK (true)")
        else:
            schema_editor.execute(
                f"CREATE POLICY member ON {table} USING ({OF_MEMBERS}) WITH CHECK ({OF_MEMBERS})"
            )
        shared = [_holds(model)] if self.held else []
        shared += [self._granted(model, to_state.apps.get_model(app_label, name)) for name in self.grants]
        if shared:
            # Asked only for a contact: a member's rows must not cost the look-up.
            condition = f"{CONTACT} AND organisation_id = {ORGANISATION} AND ({' OR '.join(shared)})"
            schema_editor.execute(f"CREATE POLICY shared ON {table} FOR SELECT USING ({condition})")
        if settings.DATABASE_OPS:
            let_operators_read(schema_editor, table)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        table = schema_editor.quote_name(from_state.apps.get_model(app_label, self.model_name)._meta.db_table)
        self._drop(schema_editor, table)
        schema_editor.execute(f"DROP POLICY IF EXISTS operators ON {table}")
        schema_editor.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")

    def _drop(self, schema_editor: Any, table: str) -> None:
        """But not what lets operators read: without DATABASE_OPS_URL it could not be made again."""
        for policy in POLICIES:
            schema_editor.execute(f"DROP POLICY IF EXISTS {policy} ON {table}")

    def _granted(self, model: Any, grant: Any) -> str:
        """Whether a row of ``grant`` shares the row of ``model``: its view permission, to person or group."""
        return (
            f"EXISTS (SELECT 1 FROM {grant._meta.db_table} g "  # noqa: S608  names of models
            f"WHERE g.content_object_id = {model._meta.db_table}.id AND g.can_view AND g.{_holds(grant)})"
        )


@contextmanager
def tenant(organisation_id: int) -> Iterator[None]:
    """Work on the rows of one organisation as its members do, in a transaction that ends with the block."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f"current_setting('{name}', true)" for name in SETTINGS))
        before = [value or "" for value in cursor.fetchone()]
        _set(cursor, [str(organisation_id), "on"])
        yield
        _set(cursor, before)


@register(Tags.security)
def check_row_security(**kwargs: Any) -> list[CheckMessage]:
    """security.E050: a tenant's table without the migration step; E051: one that is no TenantModel; E052: one
    without an organisation whose rows belong to a tenant's row; E053: one that may point across tenants;
    E054: a table of ours that says no tenant."""
    found = apps.get_models(include_auto_created=True)
    secured, organisations = _secured_by_migrations(), _organisations(found)
    return [
        message
        for model in found
        if model._meta.label_lower not in EXEMPT
        for message in _check_model(model, secured, organisations)
    ]


def _check_model(
    model: type[models.Model], secured: Collection[str], organisations: Collection[Any]
) -> Iterator[CheckMessage]:
    from security.strict_input import is_first_party  # which needs the apps, and models import this module

    label = model._meta.label
    if not _has_organisation(model, organisations):
        if owner := _tenant_behind(model):
            yield Error(
                f"{label} points to a tenant's {owner} and says no tenant.",
                hint="Its rows are the tenant's too: derive it from security.row_security.TenantModel, or "
                "add it to EXEMPT there, with the reason. A many-to-many field needs a model of its own for "
                "that (through=).",
                id="security.E052",
            )
        elif is_first_party(model) and model._meta.label_lower not in OF_NO_TENANT:
            yield Error(
                f"{label} says no tenant.",
                hint="Derive it from security.row_security.TenantModel, whatever the column was called; if "
                "its rows are nobody's or everybody's, add it to OF_NO_TENANT there, with the reason.",
                id="security.E054",
            )
        return
    if not issubclass(model, TenantModel):
        yield Error(
            f"{label} has an organisation and is no TenantModel.",
            hint="Derive it from security.row_security.TenantModel; if its rows are read before a tenant is "
            "known, add it to EXEMPT there, with the reason.",
            id="security.E051",
        )
        return
    if model._meta.label_lower not in secured:
        yield Error(
            f"{label} is a tenant's table without row-level security.",
            hint=f'Add RowSecurity("{model.__name__}") of security.row_security to a migration, after the '
            "table is made.",
            id="security.E050",
        )
    kept = {t.reference for t in getattr(model._meta, "triggers", ()) if isinstance(t, TenantTrigger)}
    for field in model._meta.concrete_fields:
        target = field.related_model
        if _is_of_tenants(target) and field.name not in kept:
            yield Error(
                f"{label}.{field.name} may point to another tenant's {target._meta.label}.",
                hint=f'Add SameTenant("{field.name}") of security.row_security to triggers in its Meta, and '
                "run makemigrations.",
                id="security.E053",
            )


def _set(cursor: Any, values: list[str]) -> None:
    cursor.execute("SELECT " + ", ".join(f"set_config('{name}', %s, true)" for name in SETTINGS), values)


def _holds(grant: Any) -> str:
    """The condition that the person in app.user holds the grant, themselves or by a group."""
    of_person = any(field.name == "user" for field in grant._meta.fields)
    return f"user_id = {PERSON}" if of_person else f"group_id = ANY ({GROUPS})"


def _organisations(found: Iterable[type[models.Model]]) -> set[Any]:
    """The model of the organisations themselves, as those who call it so point to it."""
    fields = [field for model in found for field in model._meta.concrete_fields]
    return {field.related_model for field in fields if field.attname == "organisation_id"} - {None}


def _has_organisation(model: type[models.Model], organisations: Collection[Any]) -> bool:
    """Whatever the column is called."""
    return any(
        field.attname == "organisation_id" or field.related_model in organisations
        for field in model._meta.concrete_fields
    )


def _tenant_behind(model: type[models.Model]) -> str | None:
    """The tenant's model that a foreign key of ``model`` names, if one does; a generic one may name any."""
    for field in model._meta.concrete_fields:
        target = field.related_model
        if _is_of_tenants(target):
            return str(target._meta.label)
    generic = any(isinstance(field, GenericForeignKey) for field in model._meta.private_fields)
    return "row of any model" if generic else None


def _is_of_tenants(model: Any) -> TypeGuard[type[models.Model]]:
    """Whether each row of ``model`` is of an organisation."""
    return isinstance(model, type) and (
        issubclass(model, TenantModel)
        or (issubclass(model, models.Model) and model._meta.label_lower in EXEMPT)
    )


def _secured_by_migrations() -> set[str]:
    """Labels of the models whose tables have the step, after all migrations on disk."""
    graph = MigrationLoader(None).graph
    keys = dict.fromkeys(key for leaf in graph.leaf_nodes() for key in graph.forwards_plan(leaf))
    return _secured((app, each) for app, name in keys for each in _flat(graph.nodes[app, name].operations))


def _flat(operations: Iterable[Operation]) -> Iterator[Operation]:
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            yield from _flat([*operation.state_operations, *operation.database_operations])
        else:
            yield operation


def _secured(operations: Iterable[tuple[str, Operation]]) -> set[str]:
    """What the operations leave secured: a renamed table keeps its policies, a new one has none."""
    secured: set[str] = set()
    for app, operation in operations:
        if isinstance(operation, RowSecurity):
            secured.add(f"{app}.{operation.model_name}".lower())
        elif isinstance(operation, CreateModel | DeleteModel):
            secured.discard(f"{app}.{operation.name}".lower())
        elif isinstance(operation, RenameModel) and (old := f"{app}.{operation.old_name}".lower()) in secured:
            secured.remove(old)
            secured.add(f"{app}.{operation.new_name}".lower())
    return secured
