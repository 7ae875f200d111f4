"""Introspection: who may learn what of a token."""

import secrets
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Membership
from accounts.oauth.models import AccessToken, RefreshToken
from tests import factories
from tests.clients import Api, Flow, Page, basic, post_form
from tests.proofs import Key

pytestmark = pytest.mark.django_db

ROUTE = "/oauth/introspect"
OTHER = "https://reports.example"


@pytest.fixture
def secret():
    return secrets.token_urlsafe(48)


def confidential(secret, **fields):
    return factories.public_client(
        client_type="confidential",
        token_endpoint_auth_method="client_secret_basic",
        client_secret=secret,
        **fields,
    )


@pytest.fixture
def client(db, secret):
    return confidential(secret)


def introspect(client, secret, token, **fields):
    return post_form(ROUTE, {"token": token, **fields}, **basic(client.client_id, secret))


def test_a_client_learns_of_its_own_token(client, secret, acme, auditor, settings):
    token = factories.token(auditor, acme, client=client, scopes="account:read", cnf_jkt="x" * 43)

    response = introspect(client, secret, token)

    row = AccessToken.objects.get()
    assert response["Cache-Control"] == "no-store"
    assert response.json() == {
        "active": True,
        "iss": settings.PUBLIC_URL,
        "client_id": client.client_id,
        "organisation": str(acme.public_id),
        "sub": str(auditor.public_id),
        "scope": "account:read",
        "token_type": "DPoP",
        "cnf": {"jkt": "x" * 43},
        "aud": [settings.PUBLIC_URL],
        "acr": "aal2",
        "auth_time": int(row.auth_time.timestamp()),
        "iat": int(row.created.timestamp()),
        "exp": int(row.expires.timestamp()),
    }


def test_a_bearer_token_says_so(client, secret, acme, auditor):
    told = introspect(client, secret, factories.token(auditor, acme, client=client)).json()

    assert told["token_type"] == "Bearer"
    assert "cnf" not in told


def test_a_strangers_token_is_like_none(client, secret, acme, auditor):
    stranger = introspect(client, secret, factories.token(auditor, acme))
    unknown = introspect(client, secret, "nonsense")

    assert stranger.status_code == unknown.status_code == 200
    assert stranger.content == unknown.content == b'{"active": false}'


def test_a_resource_learns_of_the_tokens_for_it(secret, acme, auditor):
    server = confidential(secret, serves_audiences=[OTHER])
    mine = factories.token(auditor, acme, resource=[OTHER])
    not_mine = factories.token(auditor, acme)

    assert introspect(server, secret, mine).json()["aud"] == [OTHER]
    assert introspect(server, secret, not_mine).json() == {"active": False}


@pytest.mark.parametrize("end", ["expired", "inactive", "left", "promoted", "revoked"])
def test_what_the_api_refuses_is_not_active(client, secret, acme, auditor, end):
    lifetime = timedelta(seconds=-1) if end == "expired" else None
    token = factories.token(auditor, acme, client=client, lifetime=lifetime, acr="aal1")
    if end == "promoted":
        Membership.objects.update(role="org_admin")
    elif end == "inactive":
        type(auditor).objects.update(is_active=False)
    elif end == "left":
        Membership.objects.all().delete()
    elif end == "revoked":
        post_form("/oauth/revoke", {"token": token}, **basic(client.client_id, secret))

    assert introspect(client, secret, token).json() == {"active": False}


def test_a_refresh_token_is_its_clients_alone(client, secret, auditor):
    page = Page()
    page.sign_in(auditor)
    flow = Flow(page, client, "account:read")
    tokens = flow.exchange(flow.code(), client_secret=secret).json()
    other_secret = secrets.token_urlsafe(48)
    other = confidential(other_secret)

    told = introspect(client, secret, tokens["refresh_token"]).json()

    day = timedelta(days=1)  # without use; its family ends later
    assert told["exp"] == int((AccessToken.objects.get().expires + day).timestamp())
    assert "token_type" not in told
    assert introspect(other, other_secret, tokens["refresh_token"]).json() == {"active": False}
    AccessToken.objects.update(expires=timezone.now() - day)
    assert introspect(client, secret, tokens["refresh_token"]).json() == {"active": False}


def test_a_refresh_token_ends_with_its_family(client, secret, auditor):
    page = Page()
    page.sign_in(auditor)
    flow = Flow(page, client, "account:read")
    token = flow.exchange(flow.code(), client_secret=secret).json()["refresh_token"]
    end = timezone.now() + timedelta(minutes=5)
    RefreshToken.objects.update(family_expires_at=end)

    assert introspect(client, secret, token).json()["exp"] == int(end.timestamp())


def test_a_service_clients_token_is_the_clients(acme, auditor, secret):
    service = factories.service_client(acme, auditor, secret=secret)
    token = factories.token(None, acme, client=service, auth_time=None)

    told = introspect(service, secret, token).json()

    assert told["sub"] == service.client_id
    assert "auth_time" not in told


def test_a_service_clients_token_is_not_active_where_a_contact_answers_for_it(acme, auditor, secret):
    service = factories.service_client(acme, auditor, secret=secret)
    token = factories.token(None, acme, client=service)
    Membership.objects.filter(user=auditor).update(role="contact")

    assert Api(token).get("/v1/audit-events").status_code == 401
    assert introspect(service, secret, token).json() == {"active": False}


def test_a_public_client_may_not_ask(acme, auditor):
    public = factories.public_client()
    token = factories.token(auditor, acme, client=public)

    response = post_form(ROUTE, {"token": token, "client_id": public.client_id})

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Basic realm="oauth"'


def test_nobody_asks_with_a_token_instead(client, acme, auditor):
    token = factories.token(auditor, acme, client=client)

    assert post_form(ROUTE, {"token": token}, HTTP_AUTHORIZATION=f"Bearer {token}").status_code == 401
    assert post_form(ROUTE, {"token": token}).status_code == 401


def test_a_key_authenticates_as_well(acme, auditor):
    key = Key()
    client = factories.public_client(
        client_type="confidential", token_endpoint_auth_method="private_key_jwt", client_jwks=key.jwks
    )
    token = factories.token(auditor, acme, client=client)

    assert post_form(ROUTE, {"token": token, **key.assertion(client.client_id)}).json()["active"]


@pytest.mark.parametrize("form", [{}, {"token": ""}])
def test_no_token_is_an_error(client, secret, form):
    response = post_form(ROUTE, {"a": "b", **form}, **basic(client.client_id, secret))

    assert (response.status_code, response.json()) == (400, {"error": "invalid_request"})


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_only_post(db, method):
    assert Api().generic(method, ROUTE).status_code == 405
    assert Api().generic(method, f"{ROUTE}?token=x").status_code == 405
