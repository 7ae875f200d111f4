"""/v1/vendors/{id}/bank-details and /v1/vendors/{id}/reveal-iban."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from resources.models import Invoice, Vendor
from security import quotas
from security.models import AuditEvent
from tests import factories
from tests.clients import Api, faults

pytestmark = pytest.mark.django_db

IBAN = "DE89370400440532013000"
OTHER = "GB82WEST12345698765432"
REASON = "The bank returned the payment"


def change(api, vendor, iban=IBAN):
    return api.send("POST", f"/v1/vendors/{vendor}/bank-details", {"iban": iban})


def reveal(api, vendor, reason=REASON):
    return api.send("POST", f"/v1/vendors/{vendor}/reveal-iban", {"reason": reason})


# --- changing it ---


def test_a_clerk_changes_it_and_sees_four_characters(us, make):
    vendor = make.verified(us)

    response = change(us.clerk, vendor)

    assert response.status_code == 200
    body = response.json()
    stored = Vendor.objects.get()
    assert body == {
        "id": vendor,
        "country": "DE",
        "iban": "•••• 3000",
        "iban_token": stored.iban_token,
        "same_account": [],
        "verification": "unverified",
        "bank_changed_at": body["bank_changed_at"],
        "version": 2,
    }
    assert stored.iban.decrypt() == IBAN
    assert stored.bank_changed_by == us.users["clerk"]
    assert stored.bank_changed_at > timezone.now() - timedelta(minutes=1)
    assert stored.iban_token.startswith("acct_")


def test_the_change_is_audited_without_the_number(us, make):
    change(us.clerk, make.vendor(us))

    event = AuditEvent.objects.get(event="vendors:bank:changed")
    assert event.detail == {"fields": ["iban"]}
    assert event.actor == us.users["clerk"].public_id
    assert event.target_id == Vendor.objects.get().public_id


def test_the_country_is_the_accounts(us, make):
    vendor = make.vendor(us, country="SE")
    assert change(us.clerk, vendor, OTHER).json()["country"] == "GB"

    refused = us.clerk.send("PATCH", f"/v1/vendors/{vendor}", {"country": "SE"})

    assert refused.status_code == 409
    assert faults(refused) == {("/country", "frozen")}
    assert us.clerk.send("PATCH", f"/v1/vendors/{vendor}", {"country": "GB"}).status_code == 200


@pytest.mark.parametrize(
    ("iban", "code"),
    [
        ("DE89370400440532013001", "iban"),
        ("ZZ89370400440532013000", "iban"),
        ("DE8937040044053201300", "iban"),
        ("de89370400440532013000", "format"),
        ("DE89 3704 0044 0532 0130 00", "format"),
        ("DE89", "min-length"),
        ("DE89" + "3" * 40, "max-length"),
        (89370400440532013000, "type"),
        (None, "null"),
    ],
)
def test_what_is_no_account_number_is_refused_and_not_repeated(us, make, iban, code):
    vendor = make.vendor(us)

    response = change(us.clerk, vendor, iban)

    assert response.status_code == 400
    assert ("/iban", code) in faults(response)
    assert str(iban) not in response.content.decode() or iban is None
    assert Vendor.objects.get().iban is None


def test_vendors_with_one_account_are_named_within_the_organisation(us, them, make):
    first, second, foreign = make.vendor(us), make.vendor(us), make.vendor(them)
    change(them.clerk, foreign)
    change(us.clerk, first)

    assert change(us.clerk, second).json()["same_account"] == [first]
    assert change(us.clerk, second, OTHER).json()["same_account"] == []


def test_equal_accounts_of_two_organisations_share_nothing_stored(us, them, make):
    for of in (us, them):
        change(of.clerk, make.vendor(of))
        change(of.clerk, make.vendor(of))
    ours, again, theirs, _ = Vendor.objects.order_by("organisation_id")

    assert (ours.iban_index, ours.iban_token) == (again.iban_index, again.iban_token)
    for column in ("iban", "iban_index", "iban_token"):
        assert vars(ours)[column] != vars(theirs)[column]
    assert vars(ours)["iban"] != vars(again)["iban"]
    assert ours.iban_index not in ours.iban_token


def test_a_change_keeps_payments_back_and_its_author_out(us, make):
    vendor = make.verified(us)
    invoice = make.invoice(us, vendor, state="approved")
    change(us.clerk2, vendor)

    refused = us.treasurer.send("POST", f"/v1/invoices/{invoice}/release")
    assert refused.json()["type"].endswith("/vendor-not-verified")
    Vendor.objects.update(verification="verified")
    refused = us.treasurer.send("POST", f"/v1/invoices/{invoice}/release")
    assert refused.json()["type"].endswith("/cooling-off")
    Vendor.objects.update(bank_changed_at=timezone.now() - timedelta(hours=72, seconds=1))
    us.users["clerk2"].memberships.update(role="treasurer")
    assert us.clerk2.send("POST", f"/v1/invoices/{invoice}/release").status_code == 403
    assert us.treasurer.send("POST", f"/v1/invoices/{invoice}/release").status_code == 200
    assert Invoice.objects.get().status == "released"


def test_an_approver_who_then_changes_the_account_gets_nothing_released(us, make):
    """By becoming a clerk in between: the approval was before, and the release is somebody else's."""
    vendor = make.verified(us)
    invoice = make.invoice(us, vendor, state="approved")
    us.users["approver"].memberships.update(role="clerk")

    assert change(us.approver, vendor).status_code == 200
    passed = timezone.now() - timedelta(hours=72, seconds=1)
    Vendor.objects.update(verification="verified", bank_changed_at=passed)

    refused = us.treasurer.send("POST", f"/v1/invoices/{invoice}/release")

    assert refused.status_code == 403
    assert refused.json()["type"].endswith("/separation-of-duties")
    assert Invoice.objects.get().status == "approved"


def test_who_enters_an_invoice_and_its_account_gets_nothing_released(us, make):
    """A clerk may do either; a payment takes two."""
    vendor = make.verified(us)
    invoice = make.invoice(us, vendor, state="approved")
    assert change(us.clerk, vendor).status_code == 200
    passed = timezone.now() - timedelta(hours=72, seconds=1)
    Vendor.objects.update(verification="verified", bank_changed_at=passed)

    refused = us.treasurer.send("POST", f"/v1/invoices/{invoice}/release")

    assert refused.status_code == 403
    assert refused.json()["type"].endswith("/separation-of-duties")
    assert change(us.clerk2, vendor).status_code == 200
    Vendor.objects.update(verification="verified", bank_changed_at=passed)
    assert us.treasurer.send("POST", f"/v1/invoices/{invoice}/release").status_code == 200


def test_it_takes_a_recent_authentication(us, make):
    vendor = make.vendor(us)
    old = timezone.now() - timedelta(minutes=5, seconds=1)
    for role, call in (("clerk", change), ("treasurer", reveal)):
        api = Api(factories.token(us.users[role], us.organisation, auth_time=old))
        refused = call(api, vendor)
        assert refused.status_code == 401
        assert 'max_age="300"' in refused["WWW-Authenticate"]


def test_an_account_is_whole_or_not_there(us, make):
    make.vendor(us)
    for column in ("iban_last4", "iban_index", "iban_token"):
        with pytest.raises(IntegrityError), transaction.atomic():
            Vendor.objects.update(**{column: "x"})


# --- what is read of it ---


def test_readers_see_the_last_four_and_the_tax_id_not_at_all(us, make):
    vendor = make.vendor(us, tax_id="DE 123.456-789")
    change(us.clerk, vendor)

    for role in ("clerk", "approver", "treasurer", "auditor"):
        api = getattr(us, role)
        for text in (api.get(f"/v1/vendors/{vendor}").content, api.get("/v1/vendors").content):
            assert "•••• 3000" in text.decode()
            assert '"tax_id":"••••"' in text.decode()
            assert b"123.456" not in text
            assert IBAN.encode() not in text


def test_a_contact_sees_neither_token_nor_time(us, make):
    vendor = make.vendor(us)
    change(us.clerk, vendor)
    contact = factories.member("contact", us.organisation)
    shared = us.org_admin.send("POST", f"/v1/vendors/{vendor}/shares", {"contact": str(contact.public_id)})
    assert shared.status_code == 201

    body = Api(factories.token(contact, us.organisation)).get(f"/v1/vendors/{vendor}").json()

    assert body["iban"] == "•••• 3000"
    assert not {"iban_token", "bank_changed_at"} & body.keys()


@pytest.mark.parametrize(("tax_id", "code"), [("de 1", "format"), ("123", "min-length"), (5, "type")])
def test_a_tax_id_has_a_format(us, make, tax_id, code):
    response = us.clerk.send("PATCH", f"/v1/vendors/{make.vendor(us)}", {"tax_id": tax_id})

    assert ("/tax_id", code) in faults(response)


def test_a_tax_id_can_be_taken_away(us, make):
    vendor = make.vendor(us, tax_id="123456789")

    response = us.clerk.send("PATCH", f"/v1/vendors/{vendor}", {"tax_id": None})

    assert response.json()["tax_id"] is None
    assert Vendor.objects.get().tax_id is None


# --- revealing it ---


def test_a_treasurer_sees_it_in_full_for_a_reason(us, make):
    vendor = make.vendor(us)
    change(us.clerk, vendor)

    response = reveal(us.treasurer, vendor)

    assert response.status_code == 200
    assert response.json() == {"id": vendor, "iban": IBAN}
    assert response["Cache-Control"] == "no-store"
    event = AuditEvent.objects.get(event="vendors:iban:revealed")
    assert event.detail == {"reason": REASON}
    assert event.actor == us.users["treasurer"].public_id
    assert str(event.target_id) == vendor


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, ("/reason", "required")),
        ({"reason": ""}, ("/reason", "blank")),
        ({"reason": "because"}, ("/reason", "min-length")),
        ({"reason": "x" * 201}, ("/reason", "max-length")),
        ({"reason": "for DE89 3704 0044 0532 0130 00"}, ("/reason", "value")),
        ({"reason": REASON, "iban": IBAN}, ("/iban", "unknown")),
    ],
)
def test_without_a_reason_there_is_nothing_to_see(us, make, body, fault):
    vendor = make.vendor(us)
    change(us.clerk, vendor)

    response = us.treasurer.send("POST", f"/v1/vendors/{vendor}/reveal-iban", body)

    assert response.status_code == 400
    assert fault in faults(response)
    assert not AuditEvent.objects.filter(event="vendors:iban:revealed").exists()


@pytest.mark.parametrize(
    "number",
    [
        "de89-3704-0044-0532-0130-00",
        "DE89.3704/0044_0532,0130:00",
        "3704 0044 0532 0130 00",  # the account without its check digits
        "account 0532013000",
        "DE89\u200b3704\u200d0044\u20600532\u00ad0130\ufeff00",
        "\uff24\uff25\uff18\uff19\uff13\uff17\uff10\uff14\uff10\uff10\uff14\uff14\uff10\uff15\uff13\uff12",
        "".join(chr(0x660 + int(digit)) for digit in IBAN[2:]),  # Arabic-Indic digits
        "\u0414\u0415" + IBAN[2:],  # Cyrillic letters
        IBAN[::-1],
        "3704, then 0044, then 0532",
        "\u4e09\u4e03\u3007\u56db\u3007\u3007\u56db\u56db",  # Chinese numerals
    ],
)
def test_the_reason_does_not_carry_the_number_into_the_audit_trail(us, make, number):
    vendor = make.vendor(us)
    change(us.clerk, vendor)

    response = reveal(us.treasurer, vendor, f"Sent back by the bank: {number}")

    assert response.status_code == 400
    assert not AuditEvent.objects.filter(event="vendors:iban:revealed").exists()
    assert (
        reveal(us.treasurer, vendor, "Invoice 2026-0532 of 2026-11-25, account \u2026 3000").status_code
        == 200
    )


@pytest.mark.parametrize(
    "number", ["GB82WEST12345698765432", "gb82 west-1234 5698 7654 32", "NO9386011117947"]
)
def test_nor_any_other_number(us, make, number):
    """The former one is the likeliest reason of all."""
    vendor = make.vendor(us)
    change(us.clerk, vendor)

    response = reveal(us.treasurer, vendor, f"The payment to {number} came back")

    assert faults(response) == {("/reason", "value")}
    assert not AuditEvent.objects.filter(event="vendors:iban:revealed").exists()


def test_a_spent_quota_leaves_nothing_to_guess_with(us, make, settings):
    """The answer to a reason with guesses in it told the number bit by bit, and cost nothing."""
    settings.QUOTAS = {"reveal": "1/86400"}
    vendor = make.vendor(us)
    change(us.clerk, vendor)
    assert reveal(us.treasurer, vendor, f"It has {IBAN} in it").status_code == 400
    assert reveal(us.treasurer, vendor).status_code == 200  # what is refused is not counted

    right = reveal(us.treasurer, vendor, f"guesses: 1111{IBAN[-4:]} {IBAN[-8:]}")
    wrong = reveal(us.treasurer, vendor, f"guesses: 1111{IBAN[-4:]} 2222{IBAN[-4:]}")

    assert right.status_code == wrong.status_code == 429


def test_where_there_is_none_it_says_so_and_counts_nothing(us, make, settings):
    settings.QUOTAS = {"reveal": "1/86400"}
    vendor = make.vendor(us)

    refused = reveal(us.treasurer, vendor)

    assert refused.status_code == 409
    assert refused.json()["type"].endswith("/problems/no-bank-details")
    change(us.clerk, vendor)
    assert reveal(us.treasurer, vendor).status_code == 200


def test_a_day_has_so_many_whatever_the_client_and_the_organisation(us, them, make, settings, monkeypatch):
    settings.QUOTAS = {"reveal": "2/86400"}
    person = us.users["treasurer"]
    person.memberships.create(organisation=them.organisation, role="treasurer")
    here, there = make.vendor(us), make.vendor(them)
    change(us.clerk, here)
    change(them.clerk, there)
    elsewhere = Api(factories.token(person, them.organisation))
    assert reveal(us.treasurer, here).status_code == reveal(elsewhere, there).status_code == 200

    for api, vendor in ((us.treasurer, here), (elsewhere, there)):
        refused = reveal(api, vendor)
        assert refused.status_code == 429
        assert refused.json()["violated-policies"] == ["reveal"]
        assert 86_300 < int(refused["Retry-After"]) <= 86_400
        assert IBAN not in refused.content.decode()
    assert AuditEvent.objects.filter(event="vendors:iban:revealed").count() == 2

    later = timezone.now() + timedelta(days=1)
    monkeypatch.setattr(quotas, "clock", lambda: later)
    assert reveal(us.treasurer, here).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_parallel_reveals_exactly_twenty_a_day_succeed(us, make, settings):
    assert settings.QUOTAS == {"reveal": "20/86400"}
    vendor, parallel = make.vendor(us), 8
    change(us.clerk, vendor)
    apis = [Api(factories.token(us.users["treasurer"], us.organisation)) for _ in range(parallel)]
    barrier = threading.Barrier(parallel)

    def calls(api):
        try:
            barrier.wait()
            return [reveal(api, vendor).status_code for _ in range(4)]
        finally:
            connection.close()

    with ThreadPoolExecutor(parallel) as pool:
        statuses = [status for found in pool.map(calls, apis) for status in found]

    assert sorted(statuses) == [200] * 20 + [429] * 12
    assert AuditEvent.objects.filter(event="vendors:iban:revealed").count() == 20


# --- moved by somebody who can write to the database ---


@pytest.mark.parametrize("column", ["iban", "tax_id"])
def test_a_ciphertext_that_was_moved_to_another_row_or_column_is_not_shown(us, make, column):
    source = make.vendor(us, tax_id=OTHER)
    change(us.clerk, source, OTHER)
    target = make.vendor(us) if column == "iban" else source
    change(us.clerk, target)
    with connection.cursor() as cursor:
        moved = f"SELECT {column} FROM resources_vendor WHERE public_id = %s"
        cursor.execute(f"UPDATE resources_vendor SET iban = ({moved}) WHERE public_id = %s", [source, target])

    response = reveal(us.treasurer, target)

    assert response.status_code == 500
    assert OTHER not in response.content.decode()
    assert not AuditEvent.objects.filter(event="vendors:iban:revealed").exists()
