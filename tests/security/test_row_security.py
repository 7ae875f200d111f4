"""security.row_security, on the audit trail: the one tenant's table that every fork has."""

from types import SimpleNamespace
from typing import ClassVar

import pytest
from django.apps import apps
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import ProgrammingError, connection, migrations, models, transaction
from django.db.migrations.graph import MigrationGraph
from django.test.utils import isolate_apps
from pgtrigger import Trigger

from accounts.models import Membership, Organisation
from security import row_security
from security.audit import append
from security.models import AuditEvent
from security.row_security import (
    EXEMPT,
    OF_NO_TENANT,
    RowSecurity,
    SameTenant,
    TenantModel,
    check_row_security,
    tenant,
)
from tests import factories
from tests.visibility import row_security_in_force

pytestmark = pytest.mark.django_db


@pytest.fixture
def ours(acme):
    return AuditEvent.objects.create(event="test:acme:one", organisation_id=acme.pk)


@pytest.fixture
def theirs(db):
    return AuditEvent.objects.create(event="test:globex:one", organisation_id=factories.organisation().pk)


def visible():
    return set(AuditEvent.objects.values_list("pk", flat=True))


def test_without_a_tenant_there_is_no_row(ours, theirs):
    with row_security_in_force():
        assert visible() == set()
        assert AuditEvent.objects.count() == 0


def test_a_tenant_sees_its_own_rows_only(ours, theirs):
    with row_security_in_force(), tenant(ours.organisation_id):
        assert visible() == {ours.pk}
        assert not AuditEvent.objects.filter(pk=theirs.pk).exists()


def test_whoever_is_no_member_sees_nothing_of_the_tenant(ours):
    """The organisation alone is not enough: app.member is set for members only."""
    with row_security_in_force(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.organisation', %s, true)", [str(ours.organisation_id)])
        assert visible() == set()
        cursor.execute("SELECT set_config('app.member', 'off', true)")
        assert visible() == set()
        cursor.execute("SELECT set_config('app.member', 'on', true)")
        assert visible() == {ours.pk}


def test_the_tenant_ends_with_the_block(ours, theirs):
    with row_security_in_force():
        with tenant(ours.organisation_id):
            with tenant(theirs.organisation_id):
                assert visible() == {theirs.pk}
            assert visible() == {ours.pk}
        assert visible() == set()


@pytest.mark.parametrize("value", ["", "0", "-1", "9223372036854775807"])
def test_a_strange_tenant_sees_nothing(ours, value):
    with row_security_in_force(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.organisation', %s, true)", [value])
        assert visible() == set()


def test_an_event_is_appended_without_a_tenant_and_not_shown_to_who_appends_it(acme):
    with row_security_in_force():
        append(
            [AuditEvent(event="test:acme:one", organisation_id=acme.pk), AuditEvent(event="test:nobody:one")]
        )
        assert visible() == set()
        with tenant(acme.pk):
            assert len(visible()) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE {} DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE {} NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY member ON {}",
        "ALTER POLICY member ON {} USING (true)",
        "CREATE POLICY open ON {} USING (true)",
        "ALTER TABLE {} OWNER TO CURRENT_USER",
        "SET LOCAL ROLE portcullis_owner",
        "SET LOCAL SESSION AUTHORIZATION portcullis_owner",
        "ALTER ROLE CURRENT_USER BYPASSRLS",
    ],
)
def test_the_service_role_cannot_switch_it_off(ours, statement):
    with (
        row_security_in_force(),
        pytest.raises(ProgrammingError),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format("security_auditevent"))


def test_asking_for_all_rows_is_an_error_not_a_leak(ours):
    """row_security = off makes PostgreSQL refuse what a policy would filter."""
    with row_security_in_force(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL row_security = off")
        with pytest.raises(ProgrammingError), transaction.atomic():
            cursor.execute("SELECT count(*) FROM security_auditevent")


def tables_with_row_security():
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relrowsecurity")
        return {name for (name,) in cursor.fetchall()}


def tenant_models():
    return [model for model in apps.get_models() if issubclass(model, TenantModel)]


def test_every_tenants_table_has_it_and_members_and_no_other():
    # Membership has a policy of its own: open until there is a tenant (accounts/migrations/0002).
    tenants = {model._meta.db_table for model in tenant_models()}
    assert tables_with_row_security() == tenants | {"accounts_membership"}


POLICIES = """
SELECT tablename, policyname, cmd, roles::text, coalesce(qual, ''), coalesce(with_check, '') FROM pg_policies
 WHERE schemaname = 'public' AND policyname <> 'tests'
"""
#: Of the audit trail, which takes events of callers without a tenant.
APPENDS = ("security_auditevent", "append")


def policies():
    with connection.cursor() as cursor:
        cursor.execute(POLICIES)
        return cursor.fetchall()


def test_every_policy_asks_for_the_organisation_and_one_that_writes_for_a_member():
    """Those that a fork writes by hand as well: a second policy opens what the first one closes."""
    for table, name, command, roles, seen, written in policies():
        if roles != "{public}":  # the operators'
            assert "service" not in roles
            continue
        if (table, name) == APPENDS:
            assert command == "INSERT"
            continue
        assert all("app.organisation" in condition for condition in (seen, written) if condition), (
            table,
            name,
        )
        if command != "SELECT":
            assert "app.member" in (written or seen), (table, name)


@pytest.mark.parametrize("model", tenant_models(), ids=lambda model: model._meta.label)
def test_no_tenants_table_shows_a_row_without_a_tenant(model):
    with row_security_in_force():
        assert not model._base_manager.exists()


def test_exemptions_have_reasons_and_models():
    for label, reason in {**EXEMPT, **OF_NO_TENANT}.items():
        assert label in {model._meta.label_lower for model in apps.get_models(include_auto_created=True)}
        assert len(reason) > 20


# --- misconfigured ---


def test_the_projects_own_tables_pass():
    assert check_row_security() == []


@isolate_apps("security")
def test_a_tenants_table_without_the_step_is_an_error(monkeypatch):
    class Ledger(TenantModel):
        class Meta:
            app_label = "security"

    monkeypatch.setattr(row_security.apps, "get_models", lambda **kwargs: [Ledger])

    (error,) = check_row_security()

    assert error.id == "security.E050"
    assert 'RowSecurity("Ledger")' in error.hint


@isolate_apps("security")
def test_an_organisation_that_is_not_declared_is_an_error(monkeypatch):
    class Ledger(models.Model):
        organisation_id = models.BigIntegerField()

        class Meta:
            app_label = "security"

        def __str__(self):
            return "ledger"

    monkeypatch.setattr(row_security.apps, "get_models", lambda **kwargs: [Ledger])

    (error,) = check_row_security()

    assert error.id == "security.E051"


@isolate_apps("security")
def test_a_table_that_points_to_a_tenants_and_says_no_tenant_is_an_error(monkeypatch):
    class Line(models.Model):
        event = models.ForeignKey(AuditEvent, on_delete=models.CASCADE)

        class Meta:
            app_label = "security"

        def __str__(self):
            return "line"

    class Tagged(models.Model):
        events = models.ManyToManyField(AuditEvent)

        class Meta:
            app_label = "security"

        def __str__(self):
            return "tagged"

    monkeypatch.setattr(
        row_security.apps, "get_models", lambda **kwargs: [Line, Tagged, Tagged.events.through]
    )

    assert [(error.id, error.msg.split()[0]) for error in check_row_security()] == [
        ("security.E052", "security.Line"),
        ("security.E054", "security.Tagged"),
        ("security.E052", "security.Tagged_events"),
    ]


@isolate_apps("security")
@pytest.mark.parametrize("name", ["organisation", "tenant_id", "customer"])
def test_a_table_that_says_no_tenant_is_an_error(monkeypatch, name):
    """Whatever its number of the organisation is called."""
    attributes = {name: models.BigIntegerField(), "__module__": __name__, "__str__": lambda self: name}
    attributes["Meta"] = type("Meta", (), {"app_label": "security"})
    note = type("Note", (models.Model,), attributes)
    monkeypatch.setattr(row_security.apps, "get_models", lambda **kwargs: [note])

    (error,) = check_row_security()

    assert error.id == "security.E054"


@isolate_apps("security")
def test_a_reference_to_an_exempt_table_may_not_cross_tenants_either(monkeypatch):
    class Hook(TenantModel):
        client = models.ForeignKey("oauth.Application", on_delete=models.CASCADE)

        class Meta:
            app_label = "security"

    monkeypatch.setattr(row_security.apps, "get_models", lambda **kwargs: [Hook])
    reference = Hook._meta.get_field("client").remote_field
    monkeypatch.setattr(reference, "model", apps.get_model("oauth.Application"))

    assert [error.id for error in check_row_security()] == ["security.E050", "security.E053"]


@isolate_apps("security")
def test_an_organisation_by_another_name_is_one(monkeypatch):
    """Membership is what says which model the organisations are."""

    class Report(models.Model):
        customer = models.ForeignKey(Organisation, on_delete=models.CASCADE)

        class Meta:
            app_label = "security"

        def __str__(self):
            return "report"

    monkeypatch.setattr(row_security.apps, "get_models", lambda **kwargs: [Membership, Report])

    assert [(error.id, error.msg.split()[0]) for error in check_row_security()] == [
        ("security.E051", "security.Report")
    ]


@isolate_apps("security")
def test_a_table_that_points_to_an_exempt_one_is_the_tenants_as_well(monkeypatch):
    class Note(models.Model):
        about = models.ForeignKey(Membership, on_delete=models.CASCADE)

        class Meta:
            app_label = "security"

        def __str__(self):
            return "note"

    monkeypatch.setattr(row_security.apps, "get_models", lambda **kwargs: [Note])

    (error,) = check_row_security()

    assert error.id == "security.E052"


@isolate_apps("security")
def test_a_generic_key_may_point_to_any_tenants_row(monkeypatch):
    class Comment(models.Model):
        content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
        object_id = models.BigIntegerField()
        about = GenericForeignKey()

        class Meta:
            app_label = "security"

        def __str__(self):
            return "comment"

    monkeypatch.setattr(row_security.apps, "get_models", lambda **kwargs: [Comment])

    (error,) = check_row_security()

    assert error.id == "security.E052"
    assert "row of any model" in error.msg


@isolate_apps("security")
def test_a_tenants_table_that_may_point_across_tenants_is_an_error(monkeypatch):
    class Ledger(TenantModel):
        class Meta:
            app_label = "security"

    class Line(TenantModel):
        ledger = models.ForeignKey(Ledger, on_delete=models.CASCADE)
        event = models.ForeignKey(AuditEvent, on_delete=models.CASCADE, null=True)

        class Meta:
            app_label = "security"
            triggers: ClassVar[list[Trigger]] = [SameTenant("event")]

    monkeypatch.setattr(row_security, "_secured_by_migrations", lambda: {"security.ledger", "security.line"})
    monkeypatch.setattr(row_security.apps, "get_models", lambda **kwargs: [Ledger, Line])

    (error,) = check_row_security()

    assert error.id == "security.E053"
    assert "security.Line.ledger" in error.msg
    assert 'SameTenant("ledger")' in error.hint


STEP, MAKE = RowSecurity("Ledger"), migrations.CreateModel("Ledger", [])


@pytest.mark.parametrize(
    ("steps", "secured"),
    [
        ([MAKE, STEP], {"a.ledger"}),
        ([MAKE], set()),
        ([MAKE, STEP, migrations.DeleteModel("Ledger"), MAKE], set()),
        ([MAKE, STEP, migrations.RenameModel("Ledger", "Book"), MAKE], {"a.book"}),
        ([MAKE, migrations.RenameModel("Ledger", "Book")], set()),
        ([migrations.SeparateDatabaseAndState([STEP], [MAKE])], {"a.ledger"}),
    ],
)
def test_the_step_secures_the_table_that_was_there(monkeypatch, steps, secured):
    """One that is made anew under the name has no policies."""
    graph = MigrationGraph()
    graph.add_node(("a", "0001"), SimpleNamespace(operations=steps))
    monkeypatch.setattr(row_security, "MigrationLoader", lambda connection: SimpleNamespace(graph=graph))

    assert row_security._secured_by_migrations() == secured


def test_the_step_describes_itself_and_can_be_undone():
    step = RowSecurity("Ledger")

    assert step.reversible
    assert "Ledger" in step.describe()
    assert step.deconstruct()[1] == ("Ledger",)
