"""Demo objects: for each organisation a verified vendor whose cooling-off is over, and an invoice of its.
The vendor is shared with the organisation's contact."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from guardian.shortcuts import assign_perm

from resources.models import BANK_COOLING_OFF, Invoice, Vendor, normalise_number

VENDOR = "Northwind Paper"
NUMBER = "NP-2026-001"
#: Of no account: the registry's example.
IBAN = "DE89370400440532013000"
TAX_ID = "DE123456789"


def create(organisation: Any, users: dict[str, Any]) -> dict[str, str]:
    """Find or make the objects. ``users`` is role → user. Returns kind → public id."""
    today = timezone.now().date()
    vendor, _ = Vendor.objects.get_or_create(
        organisation_id=organisation.pk,
        name=VENDOR,
        defaults={
            "contact_email": "accounts@northwind.example",
            "country": "DE",
            "verification": Vendor.Verification.VERIFIED,
            # Nobody who signs in to the demo changed it, so every treasurer may release.
            "bank_changed_at": timezone.now() - BANK_COOLING_OFF - timedelta(days=1),
            "created_by": users["clerk"],
        },
    )
    if vendor.iban is None:
        vendor.set_account(IBAN)
        vendor.tax_id = TAX_ID
        vendor.save()
    invoice, _ = Invoice.objects.get_or_create(
        vendor=vendor,
        number_normalised=normalise_number(NUMBER),
        defaults={
            "organisation_id": organisation.pk,
            "number": NUMBER,
            "amount": 129_900,
            "currency": organisation.currency,
            "issue_date": today,
            "due_date": today + timedelta(days=30),
            "created_by": users["clerk"],
        },
    )
    assign_perm("view_vendor", users["contact"], vendor)
    return {"vendor": str(vendor.public_id), "invoice": str(invoice.public_id)}
