"""Vendors and invoices for the scenarios, made through the API by whoever owns them."""

from typing import Any

from lab.world import Answer, World

REASON = {"reason": "To compare it with the letter"}


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


def submitted_invoice(world: World, organisation: str) -> str:
    """Of the demo's verified vendor, so that it can be released."""
    of = next(found for found in world.demo["objects"] if found["organisation"].lower() == organisation)
    clerk = f"clerk@{organisation}"
    target = str(world.call(clerk, "POST", "/v1/invoices", invoice_body(world, of["vendor"])).json["id"])
    world.call(clerk, "POST", f"/v1/invoices/{target}/submit")
    return target


def shared_vendor(world: World, organisation: str) -> str:
    """A vendor of the organisation's, shared with its contact."""
    target = vendor(world, f"clerk@{organisation}")
    contact = world.call(f"contact@{organisation}", "GET", "/v1/me").json["user"]
    world.call(f"org-admin@{organisation}", "POST", f"/v1/vendors/{target}/shares", {"contact": contact})
    return target


def bank(world: World, of_vendor: str, iban: str, *, organisation: str = "acme") -> None:
    """The vendor's account, entered by a clerk."""
    path = f"/v1/vendors/{of_vendor}/bank-details"
    answer = world.call(f"clerk@{organisation}", "POST", path, {"iban": iban})
    if not answer.ok:
        raise ValueError(f"the account could not be entered: {answer.status}")


def revealed(world: World, of_vendor: str) -> Answer:
    """The answer to a treasurer who asks for the account number."""
    return world.call("treasurer@acme", "POST", f"/v1/vendors/{of_vendor}/reveal-iban", REASON)
