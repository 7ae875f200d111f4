"""Acme shares a vendor with Carol, who is a contact: an outsider. Dave is one too, and was shared nothing."""

import threading
from contextlib import contextmanager
from types import SimpleNamespace

import guardian.shortcuts
import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection, transaction
from guardian.shortcuts import get_objects_for_user

from contract.compatibility import load
from deploy.local.postgres import ROOT
from resources.models import (
    Invoice,
    InvoiceGroupObjectPermission,
    InvoiceUserObjectPermission,
    Vendor,
    VendorGroupObjectPermission,
    VendorUserObjectPermission,
)
from security.audit import Event
from security.models import AuditEvent
from tests import factories
from tests.clients import Api, faults
from tests.visibility import row_security_in_force

pytestmark = pytest.mark.django_db


def contact(organisation):
    user = factories.member("contact", organisation)
    return SimpleNamespace(user=user, api=Api(factories.token(user, organisation)))


@pytest.fixture
def carol(acme):
    return contact(acme)


@pytest.fixture
def dave(acme):
    return contact(acme)


def share(us, vendor, with_whom):
    return us.org_admin.send(
        "POST", f"/v1/vendors/{vendor}/shares", {"contact": str(with_whom.user.public_id)}
    )


def ids(response):
    assert response.status_code == 200, response.content
    return [item["id"] for item in response.json()["items"]]


def test_it_opens_the_vendor_and_its_invoices_and_nothing_else(us, make, carol, dave):
    shared, other = make.verified(us), make.verified(us)
    early, elsewhere = make.invoice(us, shared), make.invoice(us, other)

    response = share(us, shared, carol)
    late = make.invoice(us, shared)

    assert response.status_code == 201
    assert response.json()["contact"] == str(carol.user.public_id)
    assert ids(carol.api.get("/v1/vendors")) == [shared]
    assert ids(carol.api.get("/v1/invoices")) == [late, early]
    assert ids(carol.api.get("/v1/invoices?ordering=created_at")) == [early, late]
    assert ids(carol.api.get(f"/v1/vendors/{shared}/invoices")) == [late, early]
    assert carol.api.get(f"/v1/invoices/{early}").status_code == 200
    for path in (f"/v1/vendors/{other}", f"/v1/vendors/{other}/invoices", f"/v1/invoices/{elsewhere}"):
        assert carol.api.get(path).status_code == 404
    assert ids(dave.api.get("/v1/vendors")) == ids(dave.api.get("/v1/invoices")) == []


def test_a_contact_sees_no_internal_note_and_a_member_does(us, make, carol):
    vendor = make.verified(us)
    invoice = make.invoice(us, vendor, internal_note="They always overcharge")
    share(us, vendor, carol)

    for path in (f"/v1/invoices/{invoice}", "/v1/invoices", f"/v1/vendors/{vendor}/invoices"):
        assert b"overcharge" not in carol.api.get(path).content
        assert b"internal_note" not in carol.api.get(path).content
        assert b"overcharge" in us.auditor.get(path).content


def test_the_document_says_for_whom_a_field_is():
    schemas = load(ROOT / "openapi.yaml")["components"]["schemas"]
    reader, writer = schemas["InvoiceReader"], schemas["PatchedInvoiceWriterRequest"]

    assert "contact" not in reader["properties"]["internal_note"]["x-only-for"]["roles"]
    assert "clerk" in reader["properties"]["internal_note"]["x-only-for"]["roles"]
    assert "internal_note" not in reader["required"]
    assert writer["properties"]["amount"]["x-only-for"] == {"states": ["draft"]}
    assert "x-only-for" not in writer["properties"]["internal_note"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/vendors", {"name": "Mine", "contact_email": "a@b.example", "country": "DE"}),
        ("PATCH", "/v1/vendors/{vendor}", {"country": "SE"}),
        ("PATCH", "/v1/invoices/{invoice}", {"amount": 1}),
        ("POST", "/v1/invoices/{invoice}/submit", None),
        ("POST", "/v1/invoices/{invoice}/void", None),
        ("GET", "/v1/vendors/{vendor}/shares", None),
        ("POST", "/v1/vendors/{vendor}/shares", {"contact": "01a20b51-1e4c-77a9-81e6-aaeaf2d023ae"}),
        ("GET", "/v1/audit-events", None),
    ],
)
def test_a_contact_changes_nothing(us, make, carol, method, path, body):
    vendor = make.verified(us)
    invoice = make.invoice(us, vendor)
    share(us, vendor, carol)

    response = carol.api.send(method, path.format(vendor=vendor, invoice=invoice), body)

    assert response.status_code == 403


def test_the_next_request_feels_that_a_share_was_taken_back(us, make, carol):
    vendor = make.verified(us)
    invoice = make.invoice(us, vendor)
    taken = share(us, vendor, carol).json()["id"]
    assert carol.api.get(f"/v1/invoices/{invoice}").status_code == 200

    assert us.org_admin.send("DELETE", f"/v1/shares/{taken}").status_code == 204

    for path in (f"/v1/vendors/{vendor}", f"/v1/invoices/{invoice}", f"/v1/vendors/{vendor}/invoices"):
        assert carol.api.get(path).status_code == 404
    assert ids(carol.api.get("/v1/invoices")) == []
    assert not InvoiceUserObjectPermission.objects.exists()
    assert us.org_admin.send("DELETE", f"/v1/shares/{taken}").status_code == 404


def test_an_invoice_that_moves_to_another_vendor_leaves_the_share(us, make, carol, dave):
    first, second = make.verified(us), make.verified(us)
    share(us, first, carol)
    share(us, second, dave)
    invoice = make.invoice(us, first)

    assert us.clerk.send("PATCH", f"/v1/invoices/{invoice}", {"vendor": second}).status_code == 200

    assert carol.api.get(f"/v1/invoices/{invoice}").status_code == 404
    assert ids(carol.api.get("/v1/invoices")) == []
    assert ids(dave.api.get("/v1/invoices")) == [invoice]
    assert [grant.user for grant in InvoiceUserObjectPermission.objects.all()] == [dave.user]


def test_only_a_contact_of_the_organisation_can_be_shared_with(us, them, make):
    vendor = make.verified(us)
    foreign = contact(them.organisation)
    answers = [
        us.org_admin.send("POST", f"/v1/vendors/{vendor}/shares", {"contact": str(public_id)})
        for public_id in (
            foreign.user.public_id,
            us.users["clerk"].public_id,
            "01a20b51-1e4c-77a9-81e6-aaeaf2d023ae",
        )
    ]

    for response in answers:
        assert response.status_code == 400
        assert faults(response) == {("/contact", "not-found")}
    assert not VendorUserObjectPermission.objects.exists()


def test_a_second_share_with_the_same_person_is_a_duplicate(us, make, carol):
    vendor = make.verified(us)
    assert share(us, vendor, carol).status_code == 201

    assert share(us, vendor, carol).status_code == 409
    assert VendorUserObjectPermission.objects.count() == 1


def test_sharing_and_taking_back_are_audited(us, make, carol):
    vendor = make.verified(us)
    taken = share(us, vendor, carol).json()["id"]
    us.org_admin.send("DELETE", f"/v1/shares/{taken}")

    events = AuditEvent.objects.filter(event__startswith="vendors:vendor:").exclude(event__endswith="created")
    assert [(e.event, str(e.target_id), e.detail["contact"]) for e in events.order_by("id")] == [
        ("vendors:vendor:shared", vendor, str(carol.user.public_id)),
        ("vendors:vendor:unshared", vendor, str(carol.user.public_id)),
    ]
    assert not AuditEvent.objects.filter(event=Event.FORBIDDEN).exists()


def test_a_group_shares_with_each_of_its_people(us, make, carol, dave):
    vendor, other = make.verified(us), make.verified(us)
    first, second = make.invoice(us, vendor), make.invoice(us, other)
    bookkeepers = Group.objects.create(name="Bookkeepers of the mill")
    carol.user.groups.add(bookkeepers)
    guardian.shortcuts.assign_perm("view_vendor", bookkeepers, Vendor.objects.get(public_id=vendor))
    share(us, other, carol)
    share(us, vendor, carol)  # and once more by name: still one row each

    assert set(ids(carol.api.get("/v1/vendors"))) == {vendor, other}
    assert ids(carol.api.get("/v1/invoices")) == [second, first]
    assert ids(carol.api.get("/v1/invoices?limit=1")) == [second]
    assert dave.api.get(f"/v1/vendors/{vendor}").status_code == 404

    dave.user.groups.add(bookkeepers)
    assert ids(dave.api.get("/v1/invoices")) == [first]
    dave.user.groups.remove(bookkeepers)
    assert dave.api.get(f"/v1/invoices/{first}").status_code == 404
    assert ids(dave.api.get("/v1/invoices")) == []


HOLDERS = {
    "user": (VendorUserObjectPermission, InvoiceUserObjectPermission, lambda person: person.user),
    "group": (
        VendorGroupObjectPermission,
        InvoiceGroupObjectPermission,
        lambda person: person.user.groups.get(),
    ),
}


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("how", ["to somebody else", "to another vendor", "to another permission"])
def test_a_grant_that_is_changed_takes_the_invoices_along(us, make, carol, dave, holder, how):
    """Not by this API, which takes back and shares anew; by whatever else writes to the table."""
    for person, name in ((carol, "The mill's"), (dave, "The bank's")):
        person.user.groups.add(Group.objects.create(name=name))
    model, derived, of = HOLDERS[holder]
    vendor, other = (Vendor.objects.get(public_id=make.verified(us)) for _ in range(2))
    invoice, elsewhere = make.invoice(us, str(vendor.public_id)), make.invoice(us, str(other.public_id))
    guardian.shortcuts.assign_perm("view_vendor", of(carol), vendor)
    assert ids(carol.api.get("/v1/invoices")) == [invoice]

    changes = {
        "to somebody else": {holder: of(dave)},
        "to another vendor": {"content_object": other},
        "to another permission": {"permission": Permission.objects.get(codename="change_vendor")},
    }
    grant = model.objects.get()
    for name, value in changes[how].items():
        setattr(grant, name, value)
    grant.save()

    left = {"to somebody else": [(of(dave).pk, invoice)], "to another vendor": [(of(carol).pk, elsewhere)]}
    rows = derived.objects.values_list(f"{holder}_id", "content_object__public_id")
    assert [(key, str(public_id)) for key, public_id in rows] == left.get(how, [])
    for person in (carol, dave):
        seen = [public_id for key, public_id in left.get(how, []) if key == of(person).pk]
        assert ids(person.api.get("/v1/invoices")) == seen
    assert carol.api.get(f"/v1/invoices/{invoice}").status_code == 404


def test_a_grant_that_is_saved_as_it_was_keeps_its_invoices(us, make, carol):
    vendor = make.verified(us)
    invoice = make.invoice(us, vendor)
    share(us, vendor, carol)
    before = InvoiceUserObjectPermission.objects.get().pk

    VendorUserObjectPermission.objects.get().save()

    assert ids(carol.api.get("/v1/invoices")) == [invoice]
    assert InvoiceUserObjectPermission.objects.get().pk == before


def test_global_permissions_and_the_superusers_flag_open_nothing(us, make, carol):
    vendor = make.verified(us)
    invoice = make.invoice(us, vendor)
    carol.user.user_permissions.set(Permission.objects.filter(content_type__app_label="resources"))
    everybody = Group.objects.create(name="Everybody")
    everybody.permissions.set(Permission.objects.filter(content_type__app_label="resources"))
    carol.user.groups.add(everybody)
    carol.user.is_superuser = carol.user.is_staff = True
    carol.user.save()

    assert ids(carol.api.get("/v1/vendors")) == ids(carol.api.get("/v1/invoices")) == []
    assert carol.api.get(f"/v1/invoices/{invoice}").status_code == 404


def test_another_permission_on_the_object_is_not_the_one_to_see_it(us, make, carol):
    vendor = make.verified(us)
    guardian.shortcuts.assign_perm("change_vendor", carol.user, Vendor.objects.get(public_id=vendor))

    assert carol.api.get(f"/v1/vendors/{vendor}").status_code == 404
    assert ids(carol.api.get("/v1/vendors")) == []


@contextmanager
def as_contact(person, organisation):
    """The database's own view of a contact's request, with no queryset scoping before it."""
    with row_security_in_force(), transaction.atomic(), connection.cursor() as cursor:
        for name, value in (("organisation", organisation.pk), ("user", person.user.pk), ("member", "")):
            cursor.execute("SELECT set_config(%s, %s, true)", [f"app.{name}", str(value)])
        yield


def test_row_security_alone_shows_a_contact_their_own_grants(us, make, carol, dave):
    vendor = make.verified(us)
    make.invoice(us, vendor)
    share(us, vendor, carol)

    for person, count in ((carol, 1), (dave, 0)):
        with as_contact(person, us.organisation):
            for model in (VendorUserObjectPermission, InvoiceUserObjectPermission, Vendor, Invoice):
                assert model.objects.count() == count


def test_row_security_alone_asks_for_the_permission_to_see(us, make, carol):
    vendor, invoice = make.verified(us), make.invoice(us)
    guardian.shortcuts.assign_perm("change_vendor", carol.user, Vendor.objects.get(public_id=vendor))
    guardian.shortcuts.assign_perm("change_invoice", carol.user, Invoice.objects.get(public_id=invoice))

    with as_contact(carol, us.organisation):
        assert VendorUserObjectPermission.objects.count() == InvoiceUserObjectPermission.objects.count() == 1
        assert Vendor.objects.count() == Invoice.objects.count() == 0


def test_a_contact_of_two_organisations_acts_for_one_at_a_time(us, them, make, carol):
    ours, theirs = make.verified(us), make.verified(them)
    factories.Membership.objects.create(user=carol.user, organisation=them.organisation, role="contact")
    share(us, ours, carol)
    share(them, theirs, carol)
    there = Api(factories.token(carol.user, them.organisation))

    assert ids(carol.api.get("/v1/vendors")) == [ours]
    assert ids(there.get("/v1/vendors")) == [theirs]


def test_a_contact_who_was_removed_and_invited_again_starts_with_nothing(us, make, carol):
    vendor = make.verified(us)
    share(us, vendor, carol)
    membership = factories.Membership.objects.get(user=carol.user)

    assert us.org_admin.send("DELETE", f"/v1/members/{membership.public_id}").status_code == 204

    assert carol.api.get("/v1/vendors").status_code == 401
    assert not VendorUserObjectPermission.objects.exists()
    assert not InvoiceUserObjectPermission.objects.exists()
    factories.Membership.objects.create(user=carol.user, organisation=us.organisation, role="contact")
    again = Api(factories.token(carol.user, us.organisation))
    assert ids(again.get("/v1/vendors")) == ids(again.get("/v1/invoices")) == []


def test_guardian_agrees(us, make, carol):
    vendor = make.verified(us)
    invoice = make.invoice(us, vendor)
    make.invoice(us)
    share(us, vendor, carol)

    granted = get_objects_for_user(
        carol.user, "resources.view_invoice", with_superuser=False, accept_global_perms=False
    )
    assert [str(found.public_id) for found in granted] == [invoice]


@pytest.mark.parametrize("ordering", ["-created_at", "created_at"])
@pytest.mark.parametrize("extra", ["", "&status=draft", "&search=n"])
def test_a_contact_pages_through_all_of_it(us, make, carol, ordering, extra):
    shared = [make.verified(us) for _ in range(2)]
    invoices = [make.invoice(us, vendor) for _ in range(4) for vendor in (*shared, None)]
    visible = [invoice for number, invoice in enumerate(invoices) if number % 3 != 2]
    for vendor in shared:
        share(us, vendor, carol)

    seen, cursor = [], ""
    while cursor is not None:
        after = f"&cursor={cursor}" if cursor else ""
        page = carol.api.get(f"/v1/invoices?limit=3&ordering={ordering}{extra}{after}").json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]

    assert seen == (visible if ordering == "created_at" else visible[::-1])


@pytest.mark.django_db(transaction=True)
def test_no_invoice_is_missed_between_a_share_and_invoices_entered_at_the_same_time(acme):
    clerk, admin = factories.member("clerk", acme), factories.member("org_admin", acme)
    carols = [contact(acme) for _ in range(4)]
    vendor = Vendor.objects.create(
        organisation_id=acme.pk, name="Mill", contact_email="a@b.example", country="DE", created_by=clerk
    )
    tokens = {user: factories.token(user, acme) for user in (clerk, admin)}
    together = threading.Barrier(8)
    statuses = []

    def run(number):
        together.wait()
        if number % 2:
            body = {"contact": str(carols[number // 2].user.public_id)}
            response = Api(tokens[admin]).send("POST", f"/v1/vendors/{vendor.public_id}/shares", body)
        else:
            body = {"vendor": str(vendor.public_id), "number": f"N{number}", "amount": 1}
            body |= {"issue_date": "2026-11-01", "due_date": "2026-11-02"}
            response = Api(tokens[clerk]).send("POST", "/v1/invoices", body)
        statuses.append(response.status_code)
        connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [201] * 8
    assert Invoice.objects.count() == 4
    for carol in carols:
        assert len(ids(carol.api.get("/v1/invoices"))) == 4
