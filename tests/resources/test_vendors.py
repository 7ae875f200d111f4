"""/v1/vendors."""

import pytest

from resources.models import Vendor
from security.models import AuditEvent
from tests.clients import faults

pytestmark = pytest.mark.django_db

BODY = {"name": "Paper Mill", "contact_email": "billing@mill.example", "country": "SE"}


def test_a_clerk_creates_one(us):
    response = us.clerk.send("POST", "/v1/vendors", BODY)

    assert response.status_code == 201
    body = response.json()
    assert body == {
        **BODY,
        "id": body["id"],
        "tax_id": None,
        "iban": None,
        "iban_token": "",
        "bank_changed_at": None,
        "verification": "unverified",
        "created_at": body["created_at"],
        "version": 1,
    }
    vendor = Vendor.objects.get(public_id=body["id"])
    assert (vendor.organisation_id, vendor.created_by) == (us.organisation.pk, us.users["clerk"])


def test_creation_is_audited_with_field_names_and_no_values(us):
    us.clerk.send("POST", "/v1/vendors", BODY)

    event = AuditEvent.objects.get(event="vendors:vendor:created")
    assert event.detail == {"fields": ["contact_email", "country", "name"]}
    assert event.actor == us.users["clerk"].public_id
    assert event.target_id == Vendor.objects.get().public_id


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"verification": "verified"}, ("/verification", "unknown")),
        ({"status": "released"}, ("/status", "unknown")),
        ({"organisation_id": 1}, ("/organisation_id", "unknown")),
        ({"id": 1}, ("/id", "unknown")),
        ({"bank_changed_at": None}, ("/bank_changed_at", "unknown")),
        ({"name": 5}, ("/name", "type")),
        ({"name": "x" * 201}, ("/name", "max-length")),
        ({"name": "a\u202eb"}, ("/name", "characters")),
        ({"country": "se"}, ("/country", "format")),
        ({"country": "SWE"}, ("/country", "max-length")),
        ({"contact_email": "nobody"}, ("/contact_email", "format")),
        ({"contact_email": None}, ("/contact_email", "null")),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(us, change, fault):
    response = us.clerk.send("POST", "/v1/vendors", {**BODY, **change})

    assert response.status_code == 400
    assert fault in faults(response)
    assert not Vendor.objects.exists()
    assert not AuditEvent.objects.filter(event="vendors:vendor:created").exists()


def test_missing_fields_are_named(us):
    assert faults(us.clerk.send("POST", "/v1/vendors", {})) == {
        ("/name", "required"),
        ("/contact_email", "required"),
        ("/country", "required"),
    }


def test_a_name_is_unique_in_the_organisation_and_free_in_another(us, them):
    assert us.clerk.send("POST", "/v1/vendors", BODY).status_code == 201

    again = us.clerk.send("POST", "/v1/vendors", BODY)

    assert again.status_code == 409
    assert again.json()["type"].endswith("/problems/duplicate")
    assert them.clerk.send("POST", "/v1/vendors", BODY).status_code == 201


def test_an_edit_changes_what_is_sent_and_raises_the_version(us, make):
    vendor = make.vendor(us)

    response = us.clerk.send("PATCH", f"/v1/vendors/{vendor}", {"country": "NO"})

    assert response.status_code == 200
    assert (response.json()["country"], response.json()["version"]) == ("NO", 2)
    assert AuditEvent.objects.get(event="vendors:vendor:updated").detail == {"fields": ["country"]}


def test_an_empty_edit_changes_nothing(us, make):
    vendor = make.vendor(us)

    response = us.clerk.send("PATCH", f"/v1/vendors/{vendor}", {})

    assert (response.status_code, response.json()["version"]) == (200, 1)
    assert not AuditEvent.objects.filter(event="vendors:vendor:updated").exists()


@pytest.mark.parametrize(
    ("body", "verification"),
    [
        ({"name": "Somebody Else"}, "unverified"),
        ({"tax_id": "DE 1234"}, "unverified"),
        ({"tax_id": None}, "unverified"),
        ({"contact_email": "new@vendor.example"}, "verified"),
    ],
)
def test_another_name_or_tax_id_is_another_payee(us, make, body, verification):
    """Else a vendor that is verified under one name would be paid under another."""
    vendor = make.vendor(us, tax_id="DE 9999")
    Vendor.objects.update(verification="verified")
    same = Vendor.objects.get()
    us.clerk.send("PATCH", f"/v1/vendors/{vendor}", {"name": same.name, "tax_id": "DE 9999"})
    assert Vendor.objects.get().verification == "verified"

    response = us.clerk.send("PATCH", f"/v1/vendors/{vendor}", body)

    assert (response.status_code, response.json()["verification"]) == (200, verification)


def test_verification_is_never_writable(us, make):
    vendor = make.vendor(us)

    response = us.clerk.send("PATCH", f"/v1/vendors/{vendor}", {"verification": "verified"})

    assert faults(response) == {("/verification", "unknown")}
    assert Vendor.objects.get().verification == "unverified"


def test_every_role_but_the_administrator_reads(us, make):
    vendor = make.vendor(us)

    for role in ("clerk", "approver", "treasurer", "auditor"):
        assert getattr(us, role).get(f"/v1/vendors/{vendor}").status_code == 200
        assert len(getattr(us, role).get("/v1/vendors").json()["items"]) == 1
    assert us.org_admin.get("/v1/vendors").status_code == 403


def test_a_list_shows_the_own_organisations(us, them, make):
    ours, theirs = make.vendor(us), make.vendor(them)

    assert [item["id"] for item in us.auditor.get("/v1/vendors").json()["items"]] == [ours]
    assert [item["id"] for item in them.auditor.get("/v1/vendors").json()["items"]] == [theirs]
