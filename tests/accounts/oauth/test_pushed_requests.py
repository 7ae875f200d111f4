"""Pushed authorization requests, RFC 9126."""

import secrets
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.utils import timezone

from accounts.oauth.models import AccessToken, Grant, PushedRequest
from accounts.oauth.pushed_requests import PREFIX
from accounts.oauth.validators import digest
from tests import factories
from tests.clients import Api, Flow, Page, answer, basic, post_form

pytestmark = pytest.mark.django_db

SCOPE = "account:read audit:read"


@pytest.fixture
def client(db):
    return factories.public_client(name="Ledger & Co")


@pytest.fixture
def page(auditor):
    page = Page()
    page.sign_in(auditor)
    return page


@pytest.fixture
def flow(page, client):
    return Flow(page, client, SCOPE)


def test_a_pushed_request_leads_to_a_token(flow, settings):
    response = flow.push()

    assert response.status_code == 201
    assert response["Cache-Control"] == "no-store"
    assert response.json()["expires_in"] == 60
    assert set(flow.query) == {"client_id", "request_uri"}
    redirect = answer(flow.decide())
    assert redirect["state"] == "some-state"
    assert redirect["iss"] == settings.PUBLIC_URL
    assert flow.exchange(redirect["code"]).status_code == 200


def test_the_reference_is_stored_as_a_digest(flow):
    reference = flow.push().json()["request_uri"].removeprefix(PREFIX)

    assert PushedRequest.objects.get().reference == digest(reference)


def test_it_works_once(flow):
    flow.push()
    form = {**flow.page.form(flow.path), "decision": "allow"}
    answer(flow.page.post(flow.path, form))

    again = flow.page.post(flow.path, form)

    assert again.status_code == 400
    assert Grant.objects.count() == 1
    assert flow.page.get(flow.path).status_code == 400


def test_a_refusal_spends_it_too(flow):
    flow.push()

    assert answer(flow.decide("deny"))["error"] == "access_denied"
    assert flow.page.get(flow.path).status_code == 400


def test_it_belongs_to_the_browser_that_brought_it_first(flow, auditor):
    flow.push()
    assert flow.page.get(flow.path).status_code == 200
    other = Page()
    other.sign_in(auditor)

    assert other.get(flow.path).status_code == 400
    assert flow.page.get(flow.path).status_code == 200


def test_it_survives_the_sign_in_of_that_browser(client, auditor):
    flow = Flow(Page(), client, SCOPE)
    flow.push()
    response = flow.page.get(flow.path)
    assert response["Location"].startswith("/sign-in?next=/oauth/authorize")

    flow.page.sign_in(auditor)

    assert "code" in answer(flow.decide())


def test_it_expires(flow):
    flow.push()
    PushedRequest.objects.update(expires=timezone.now())

    assert flow.page.get(flow.path).status_code == 400


def test_once_brought_there_is_time_to_decide(flow):
    flow.push()
    flow.page.get(flow.path)

    left = PushedRequest.objects.get().expires - timezone.now()

    assert timedelta(minutes=9) < left <= timedelta(minutes=10)


def test_it_is_the_clients_own(flow):
    flow.push()
    flow.query["client_id"] = factories.public_client().client_id

    assert flow.page.get(flow.path).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": "account:read"},
        {"redirect_uri": "https://evil.example/"},
        {"request_uri": PREFIX + "unknown"},
        {"request_uri": "https://evil.example/request.jwt"},
        {"request_uri": PREFIX + "a\x00b"},
        {"request_uri": ""},
        {"client_id": "nobody"},
        {"client_id": "a\x00b"},
    ],
)
def test_anything_else_in_the_url_is_an_error_page(flow, changes):
    flow.push()
    flow.query |= changes

    response = flow.page.get(flow.path)

    assert response.status_code == 400
    assert "Location" not in response
    assert response["Content-Type"].startswith("text/html")
    assert "invalid_request_uri" in response.content.decode()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uri": "https://evil.example/callback"}, "invalid_request"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"scope": "root:all"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unauthorized_client"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"request_uri": PREFIX + "x"}, "invalid_request"),
        ({"request": "e30.e30."}, "request_not_supported"),
        ({"dpop_jkt": "short"}, "invalid_request"),
        ({"prompt": "create"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"state": "x" * 8000}, "invalid_request"),
    ],
)
def test_a_faulty_request_is_refused_when_it_is_pushed(flow, changes, error):
    response = flow.push(**changes)

    assert response.status_code in {400, 401, 413}
    assert response["Content-Type"] == "application/json"
    assert response.json()["error"] == error
    assert not PushedRequest.objects.exists()


def test_a_confidential_client_has_to_authenticate(page):
    secret = secrets.token_urlsafe(48)
    client = factories.public_client(
        client_type="confidential", token_endpoint_auth_method="client_secret_basic", client_secret=secret
    )
    other = factories.public_client()
    flow = Flow(page, client, SCOPE)

    assert flow.push().status_code == 401
    assert flow.push(basic(client.client_id, "wrong")).status_code == 401
    assert flow.push(basic(client.client_id, secret), client_id=other.client_id).status_code in {400, 401}
    assert flow.push(basic(client.client_id, secret)).status_code == 201
    assert secret not in PushedRequest.objects.get().parameters


def test_the_secret_is_not_kept_with_the_request(page):
    secret = secrets.token_urlsafe(48)
    client = factories.public_client(
        client_type="confidential", token_endpoint_auth_method="client_secret_basic", client_secret=secret
    )

    assert Flow(page, client, SCOPE).push(client_secret=secret).status_code == 201
    assert secret not in PushedRequest.objects.get().parameters


@pytest.mark.asvs("10.4.13")
def test_who_has_to_push_cannot_ask_otherwise(page, settings):
    client = factories.public_client(require_pushed_authorization_requests=True)
    flow = Flow(page, client, SCOPE)

    redirect = answer(page.get(flow.path))
    assert redirect["error"] == "invalid_request"
    assert redirect["iss"] == settings.PUBLIC_URL
    flow.push()
    assert "code" in answer(flow.decide())


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
def test_only_post(db, method):
    assert Api().generic(method, "/oauth/par").status_code == 405


def test_a_repeated_parameter_is_refused(flow):
    body = urlencode(flow.query) + "&scope=account:read"

    assert post_form("/oauth/par", body).json() == {"error": "invalid_request"}
    assert not AccessToken.objects.exists()
