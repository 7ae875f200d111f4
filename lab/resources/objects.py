"""Vendors and invoices for the scenarios, made through the API by whoever owns them."""

from typing import Any

from lab.world import World


def vendor(world: World, who: str) -> str:
    body = {"name": world.unique("Vendor"), "contact_email": "a@vendor.example", "country": "DE"}
    return str(world.call(who, "POST", "/v1/vendors", body).json["id"])


def invoice_body(world: World, of_vendor: str) -> dict[str, Any]:
    return {
        "vendor": of_vendor,
        "number": world.unique("N"),
        "amount": 1000,
        "issue_date": "2026-11-01",
        "due_date": "2026-12-01",
    }


def invoice(world: World, who: str) -> str:
    """A draft of theirs."""
    body = invoice_body(world, vendor(world, who))
    return str(world.call(who, "POST", "/v1/invoices", body).json["id"])


def shared_vendor(world: World, organisation: str) -> str:
    """A vendor of the organisation's, shared with its contact."""
    target = vendor(world, f"clerk@{organisation}")
    contact = world.call(f"contact@{organisation}", "GET", "/v1/me").json["user"]
    world.call(f"org-admin@{organisation}", "POST", f"/v1/vendors/{target}/shares", {"contact": contact})
    return target
