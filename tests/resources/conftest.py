"""Alice and her colleagues work at Acme; Charlie is a clerk of Globex."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from resources.models import BANK_COOLING_OFF, Vendor
from tests import factories
from tests.clients import Api


def team(organisation):
    """role → Api of a member with every scope, and the users beside."""
    users = {
        role: factories.member(role, organisation)
        for role in ("clerk", "approver", "treasurer", "auditor", "org_admin")
    }
    apis = {role: Api(factories.token(user, organisation)) for role, user in users.items()}
    for role in ("clerk", "approver"):
        second = users[f"{role}2"] = factories.member(role, organisation)
        apis[f"{role}2"] = Api(factories.token(second, organisation))
    return SimpleNamespace(organisation=organisation, users=users, **apis)


@pytest.fixture
def us(acme):
    return team(acme)


@pytest.fixture
def them(db):
    return team(factories.organisation("Globex Test", "USD"))


@pytest.fixture
def make():
    """Make objects through the API, as a clerk would."""

    def vendor(of, **fields):
        body = {
            "name": f"Vendor {next(factories.number)}",
            "contact_email": "a@vendor.example",
            "country": "DE",
        }
        response = of.clerk.send("POST", "/v1/vendors", {**body, **fields})
        assert response.status_code == 201, response.content
        return response.json()["id"]

    def verified(of):
        public_id = vendor(of)
        long_ago = timezone.now() - BANK_COOLING_OFF - timedelta(hours=1)
        Vendor.objects.filter(public_id=public_id).update(verification="verified", bank_changed_at=long_ago)
        return public_id

    def invoice(of, to=None, *, state="draft", **fields):
        body = {
            "vendor": to or verified(of),
            "number": f"N-{next(factories.number)}",
            "amount": 1000,
            "issue_date": "2026-11-01",
            "due_date": "2026-12-01",
            **fields,
        }
        response = of.clerk.send("POST", "/v1/invoices", body)
        assert response.status_code == 201, response.content
        public_id = response.json()["id"]
        steps = {
            "draft": [],
            "submitted": [("clerk", "submit")],
            "approved": [("clerk", "submit"), ("approver", "approve")],
            "released": [("clerk", "submit"), ("approver", "approve"), ("treasurer", "release")],
            "rejected": [("clerk", "submit"), ("approver", "reject")],
            "void": [("clerk", "void")],
        }
        for role, action in steps[state]:
            done = getattr(of, role).send("POST", f"/v1/invoices/{public_id}/{action}")
            assert done.status_code == 200, done.content
        return public_id

    return SimpleNamespace(vendor=vendor, verified=verified, invoice=invoice)
