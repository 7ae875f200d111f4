"""Good requests for the contract tests."""

from datetime import date
from typing import Any

import guardian.shortcuts

from resources.models import Invoice, Vendor, VendorUserObjectPermission
from tests import factories
from tests.contract.walk import Call, Team

IBAN = "NO9386011117947"
#: Operations that answer with what is covered everywhere else, and why (tests.answers).
REVEALS = {"POST /v1/vendors/{id}/reveal-iban": "the account number, to who may pay, for a reason"}


def vendor(team: Team) -> Vendor:
    return Vendor.objects.create(
        organisation_id=team.organisation.pk,
        name=f"Vendor {next(factories.number)}",
        contact_email="a@vendor.example",
        country="DE",
        verification="verified",
        created_by=team.user("clerk"),
    )


def vendor_with_account(team: Team) -> Vendor:
    made = vendor(team)
    made.set_account(IBAN)
    made.save()
    return made


def invoice(team: Team, status: str = "draft") -> Invoice:
    number = f"N{next(factories.number)}"
    return Invoice.objects.create(
        organisation_id=team.organisation.pk,
        vendor=vendor(team),
        number=number,
        number_normalised=number,
        amount=1000,
        currency=team.organisation.currency,
        issue_date=date(2026, 11, 1),
        due_date=date(2026, 12, 1),
        status=status,
        created_by=team.user("clerk"),
    )


def of_invoice(team: Team, role: str, *, status: str = "draft", body: Any = None) -> Call:
    target = invoice(team, status)
    return Call(role, target, body, through=target.vendor)


def new_vendor(team: Team) -> Call:
    body = {"name": f"Vendor {next(factories.number)}", "contact_email": "a@b.example", "country": "DE"}
    return Call("clerk", None, body)


def new_invoice(team: Team) -> Call:
    body = {
        "vendor": str(vendor(team).public_id),
        "number": f"N{next(factories.number)}",
        "amount": 1,
        "issue_date": "2026-11-01",
        "due_date": "2026-11-01",
    }
    return Call("clerk", None, body)


def several(make):
    """A list's cost must not depend on its length."""

    def build(team: Team) -> Call:
        for _ in range(4):
            make(team)
        return Call("auditor")

    return build


def share(team: Team) -> VendorUserObjectPermission:
    """A vendor shared with a contact."""
    contact = factories.member("contact", team.organisation)
    made = guardian.shortcuts.assign_perm("view_vendor", contact, vendor(team))
    made.refresh_from_db()  # with what its trigger filled in
    return made


def new_share(team: Team) -> Call:
    contact = factories.member("contact", team.organisation)
    return Call("org_admin", vendor(team), {"contact": str(contact.public_id)})


EXAMPLES = {
    "GET /v1/vendors": several(vendor_with_account),
    "POST /v1/vendors": new_vendor,
    "GET /v1/vendors/{id}": lambda team: Call("auditor", vendor_with_account(team)),
    "PATCH /v1/vendors/{id}": lambda team: Call("clerk", vendor(team), {"country": "NO"}),
    "POST /v1/vendors/{id}/bank-details": lambda team: Call("clerk", vendor(team), {"iban": IBAN}),
    "POST /v1/vendors/{id}/reveal-iban": lambda team: Call(
        "treasurer", vendor_with_account(team), {"reason": "The bank returned the payment"}
    ),
    "GET /v1/vendors/{id}/invoices": lambda team: Call("auditor", invoice(team).vendor),
    "GET /v1/vendors/{id}/shares": lambda team: Call("org_admin", share(team).content_object),
    "POST /v1/vendors/{id}/shares": new_share,
    "DELETE /v1/shares/{id}": lambda team: Call("org_admin", share(team)),
    "GET /v1/invoices": several(invoice),
    "POST /v1/invoices": new_invoice,
    "GET /v1/invoices/{id}": lambda team: of_invoice(team, "auditor"),
    "PATCH /v1/invoices/{id}": lambda team: of_invoice(team, "clerk", body={"amount": 5}),
    "POST /v1/invoices/{id}/submit": lambda team: of_invoice(team, "clerk"),
    "POST /v1/invoices/{id}/approve": lambda team: of_invoice(team, "approver", status="submitted"),
    "POST /v1/invoices/{id}/reject": lambda team: of_invoice(team, "approver", status="submitted"),
    "POST /v1/invoices/{id}/void": lambda team: of_invoice(team, "approver", status="approved"),
    "POST /v1/invoices/{id}/release": lambda team: of_invoice(team, "treasurer", status="approved"),
}
