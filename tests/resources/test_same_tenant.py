"""A row never points to another organisation's row, whatever forgot to ask: the database refuses it."""

from contextlib import nullcontext

import pytest
from django.contrib.auth.models import Permission
from django.db import IntegrityError, transaction

from resources.models import (
    Approval,
    Invoice,
    InvoiceUserObjectPermission,
    Vendor,
    VendorUserObjectPermission,
)
from security.row_security import tenant
from tests import factories
from tests.visibility import row_security_in_force

pytestmark = pytest.mark.django_db

NETS = {"with row security": row_security_in_force, "without": nullcontext}
NOBODYS = 2**62


@pytest.fixture(params=NETS)
def as_member(request, us):
    """Statements of a member of ours, by the service role."""
    with NETS[request.param](), tenant(us.organisation.pk):
        yield


@pytest.fixture
def vendors(us, them, make):
    """Ours and theirs."""
    return [Vendor.objects.get(public_id=make.verified(team)) for team in (us, them)]


@pytest.fixture
def invoices(us, them, make, vendors):
    made = zip((us, them), vendors, strict=True)
    return [Invoice.objects.get(public_id=make.invoice(team, str(vendor.public_id))) for team, vendor in made]


def draft(us, vendor_id):
    return Invoice(
        organisation_id=us.organisation.pk,
        vendor_id=vendor_id,
        number="X",
        number_normalised="X",
        amount=1,
        currency="EUR",
        issue_date="2026-11-01",
        due_date="2026-11-01",
        created_by=us.users["clerk"],
    )


def refused(act):
    with pytest.raises(IntegrityError, match="no such row in the organisation"), transaction.atomic():
        act()
    return True


def test_an_invoice_of_a_foreign_vendor_is_refused_like_one_of_no_vendor(us, vendors, as_member):
    own, foreign = vendors

    draft(us, own.pk).save()
    for vendor_id in (foreign.pk, NOBODYS):
        assert refused(draft(us, vendor_id).save)
        assert refused(lambda vendor_id=vendor_id: Invoice.objects.bulk_create([draft(us, vendor_id)]))


def test_an_invoice_does_not_move_to_a_foreign_vendor(invoices, vendors, as_member):
    ours, _ = invoices
    _, foreign = vendors

    assert refused(lambda: Invoice.objects.filter(pk=ours.pk).update(vendor=foreign))


def test_a_foreign_invoice_is_not_approved(us, invoices, as_member):
    _, foreign = invoices
    approval = Approval(
        organisation_id=us.organisation.pk, invoice=foreign, user=us.users["approver"], at="2026-11-01"
    )

    assert refused(approval.save)


def test_a_grant_does_not_hang_on_a_foreign_one(us, them, invoices, vendors):
    """Whoever took theirs back would take ours along."""
    view = Permission.objects.get(codename="view_invoice")
    shared = VendorUserObjectPermission(
        content_object=vendors[1],
        user=factories.member("contact", them.organisation),
        permission=Permission.objects.get(codename="view_vendor"),
    )
    shared.save()
    grant = InvoiceUserObjectPermission(
        content_object=invoices[0],
        user=factories.member("contact", us.organisation),
        permission=view,
        source=shared,
    )

    with row_security_in_force(), tenant(us.organisation.pk):
        assert refused(grant.save)
