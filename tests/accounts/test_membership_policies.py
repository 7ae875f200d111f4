"""What the database lets the service role do to memberships, whatever the code above it asks for."""

import pytest
from django.db import ProgrammingError, connection, transaction

from accounts.models import Membership
from security.row_security import tenant
from tests import factories
from tests.visibility import row_security_in_force

pytestmark = pytest.mark.django_db

CONTACT = "SELECT set_config('app.member', '', true), set_config('app.user', %s, true)"


@pytest.fixture
def ours(acme):
    return Membership.objects.get(user=factories.member("auditor", acme))


@pytest.fixture
def theirs():
    other = factories.organisation()
    return Membership.objects.get(user=factories.member("auditor", other))


def refused(act):
    with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
        act()
    return True


def join(user, organisation):
    return lambda: Membership.objects.create(user=user, organisation=organisation, role="org_admin")


def promote(row):
    return lambda: Membership.objects.filter(pk=row.pk).update(role="org_admin")


def test_nothing_is_written_while_no_tenant_is_set(acme, ours, theirs):
    with row_security_in_force():
        assert Membership.objects.filter(pk=ours.pk).exists()  # authentication finds the tenant by it
        assert refused(join(theirs.user, acme))
        assert refused(promote(ours))
        assert Membership.objects.filter(pk=ours.pk)._raw_delete("default") == 0


def test_of_another_tenant_nothing_is_written(acme, ours, theirs):
    with row_security_in_force(), tenant(acme.pk):
        assert refused(join(ours.user, theirs.organisation))
        assert promote(theirs)() == 0
        assert Membership.objects.filter(pk=theirs.pk)._raw_delete("default") == 0
        assert refused(lambda: Membership.objects.filter(pk=ours.pk).update(organisation=theirs.organisation))


def test_a_contact_writes_nothing(acme, ours, theirs):
    others = Membership.objects.get(user=factories.member("auditor", acme))
    with row_security_in_force(), tenant(acme.pk):
        with connection.cursor() as cursor:
            cursor.execute(CONTACT, [str(ours.user_id)])
        assert refused(join(theirs.user, acme))
        assert refused(promote(ours))  # whose own it is
        assert promote(others)() == 0
        assert Membership.objects.filter(pk=ours.pk)._raw_delete("default") == 0


@pytest.mark.asvs("8.2.2")
def test_a_contact_sees_their_own_alone(acme, ours, theirs):
    """Nor locks another: whatever forgot that contacts are not shown who else is there."""
    mine = Membership.objects.get(user=factories.member("contact", acme))
    factories.Membership.objects.create(user=mine.user, organisation=theirs.organisation, role="contact")
    with row_security_in_force(), tenant(acme.pk), connection.cursor() as cursor:
        cursor.execute(CONTACT, [str(mine.user_id)])
        assert list(Membership.objects.all()) == [mine]
        assert list(Membership.objects.select_for_update()) == [mine]
    with row_security_in_force(), tenant(acme.pk):
        assert set(Membership.objects.all()) == {ours, mine}


def test_a_member_writes_those_of_the_tenant(acme, ours, theirs):
    with row_security_in_force(), tenant(acme.pk):
        join(theirs.user, acme)()
        assert promote(ours)() == 1
        assert Membership.objects.filter(pk=ours.pk)._raw_delete("default") == 1


def test_a_row_is_locked_before_there_is_a_tenant(ours):
    with row_security_in_force():
        assert Membership.objects.select_for_update(no_key=True).get(pk=ours.pk)
