"""GET /v1/me."""

import pytest

from tests import factories
from tests.clients import Api

pytestmark = pytest.mark.django_db


def test_it_says_who_the_caller_is_here(acme):
    user = factories.member("org_admin", acme)
    client = factories.public_client(client_id="some-client")

    response = Api(factories.token(user, acme, scopes="account:read audit:read", client=client)).get("/v1/me")

    assert response.status_code == 200
    assert response.json() == {
        "user": str(user.public_id),
        "organisation": str(acme.public_id),
        "client": "some-client",
        "role": "org_admin",
        "scopes": ["account:read", "audit:read"],
    }


def test_it_needs_its_scope(acme, auditor):
    assert Api(factories.token(auditor, acme, scopes="audit:read")).get("/v1/me").status_code == 403


def test_a_service_client_is_no_person(acme, auditor):
    client = factories.service_client(acme, auditor, secret="x" * 43)

    assert Api(factories.token(None, acme, client=client)).get("/v1/me").status_code == 403
