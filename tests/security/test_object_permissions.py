"""security.object_permissions: the rules and their checks. Sharing is in tests/resources/test_sharing.py."""

import pytest
from django.contrib.auth.models import Group

from security.models import AuditEvent
from security.object_permissions import (
    NoObjects,
    ObjectRule,
    SharedObjects,
    TenantObjects,
    check_object_permissions,
    grant_models,
    revoke_all,
)
from security.pagination import PageRequest
from security.scopes import CONTACT_ROLE, Access
from tests import factories

pytestmark = pytest.mark.django_db


def access(organisation, role="auditor"):
    return Access(
        user_id=1,
        user_public_id=None,
        application_id=1,
        client_id="",
        organisation_id=organisation.pk,
        organisation_public_id=organisation.public_id,
        currency="EUR",
        role=role,
        scopes=frozenset(),
    )


@pytest.fixture
def events(acme):
    other = factories.organisation()
    return [AuditEvent.objects.create(event="a:b:c", organisation_id=o.pk) for o in (acme, other)]


def test_the_base_rule_shows_nothing(acme, events):
    assert not ObjectRule().scope(AuditEvent.objects.all(), access(acme)).exists()
    assert not NoObjects("none").scope(AuditEvent.objects.all(), access(acme)).exists()


@pytest.mark.parametrize("rule", [TenantObjects(), SharedObjects()])
def test_a_member_gets_the_rows_of_the_organisation(rule, acme, events):
    mine = access(acme)

    assert list(rule.scope(AuditEvent.objects.all(), mine)) == events[:1]
    page = rule.page(AuditEvent.objects.all(), mine, PageRequest(None, 5), lambda rows: rows)
    assert page.items == events[:1]


def test_tenant_objects_do_not_open_to_a_contact_by_being_shared(acme, events):
    """A rule of TenantObjects that named contacts would show them the whole tenant: the check refuses it."""
    with pytest.raises(LookupError):
        SharedObjects().scope(AuditEvent.objects.all(), access(acme, CONTACT_ROLE))


def test_a_model_without_grants_cannot_be_shared():
    with pytest.raises(LookupError, match="lacks a UserGrant or a GroupGrant"):
        grant_models(AuditEvent)

    (fault,) = SharedObjects().faults(AuditEvent)
    assert "AuditEvent is shared" in fault
    assert list(SharedObjects().faults(None)) == []
    assert list(TenantObjects().faults(AuditEvent)) == []


def test_taking_everything_back_from_somebody_with_nothing_is_no_error(acme):
    revoke_all(user_id=1, organisation_id=acme.pk)


def test_guardian_makes_no_user_of_its_own():
    assert not factories.User.objects.filter(email__icontains="anonymous").exists()


def test_guardians_generic_grants_cannot_be_written(acme):
    """A model without grants of its own falls back to the generic table, whose cost is the whole table's."""
    import guardian.shortcuts
    from django.db import ProgrammingError, transaction

    group = Group.objects.create(name="anybody")
    with pytest.raises(ProgrammingError), transaction.atomic():
        guardian.shortcuts.assign_perm("view_organisation", group, acme)


# --- misconfigured ---


def test_the_projects_own_settings_pass():
    assert check_object_permissions() == []


@pytest.mark.parametrize("name", ["AnonymousUser", ""])
def test_an_anonymous_user_is_an_error(settings, name):
    settings.ANONYMOUS_USER_NAME = name

    (error,) = check_object_permissions()

    assert error.id == "security.E060"
