"""Resource indicators, RFC 8707: each token is for resources that its client may ask for."""

import secrets

import pytest
from django.db import IntegrityError

from accounts.oauth.models import AccessToken, RefreshToken
from tests import factories
from tests.clients import Api, Flow, Page, answer, basic, post_form

pytestmark = pytest.mark.django_db

OURS = "https://localhost:8443"
REPORTS = "https://reports.example"
SCOPE = "account:read"


@pytest.fixture
def page(auditor):
    page = Page()
    page.sign_in(auditor)
    return page


@pytest.fixture
def client(db):
    return factories.public_client(audiences=[OURS, REPORTS])


def refresh(client, token, **changes):
    form = {"grant_type": "refresh_token", "client_id": client.client_id, "refresh_token": token, **changes}
    return post_form("/oauth/token", form)


def works(token):
    return Api(token).get("/v1/me").status_code == 200


@pytest.mark.asvs("9.2.4")
def test_a_client_without_a_list_gets_tokens_for_this_api_alone(page):
    flow = Flow(page, factories.public_client(), SCOPE)

    flow.exchange(flow.code())

    assert AccessToken.objects.get().resource == [OURS]
    assert (
        answer(page.get(Flow(page, flow.client, SCOPE, resource=REPORTS).path))["error"] == "invalid_target"
    )


@pytest.mark.asvs("10.3.1", "9.2.3")
def test_a_token_for_another_resource_is_no_token_here(page, client):
    flow = Flow(page, client, SCOPE, resource=REPORTS)
    tokens = flow.exchange(flow.code()).json()

    response = Api(tokens["access_token"]).get("/v1/me")

    assert AccessToken.objects.get().resource == [REPORTS]
    assert response.status_code == 401
    assert 'error="invalid_token"' in response["WWW-Authenticate"]


def test_the_token_request_narrows_and_never_widens(page, client):
    flow = Flow(page, client, SCOPE, resource=[OURS, REPORTS])
    tokens = flow.exchange(flow.code(), resource=REPORTS).json()
    assert not works(tokens["access_token"])

    wide = refresh(client, tokens["refresh_token"]).json()
    assert works(wide["access_token"])
    assert RefreshToken.objects.get(revoked=None).resource == [OURS, REPORTS]

    narrow = Flow(page, client, SCOPE, resource=REPORTS)
    code = narrow.code()
    assert narrow.exchange(code, resource=OURS).json()["error"] == "invalid_target"
    tokens = narrow.exchange(code).json()
    response = refresh(client, tokens["refresh_token"], resource=OURS)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_target")
    assert refresh(client, tokens["refresh_token"]).status_code == 200


def test_what_is_taken_off_the_list_ends_with_the_next_refresh(page, client):
    flow = Flow(page, client, SCOPE, resource=REPORTS)
    tokens = flow.exchange(flow.code()).json()
    client.audiences = [OURS]
    client.save()

    assert refresh(client, tokens["refresh_token"]).json()["error"] == "invalid_target"


def test_a_service_client_has_a_list_too(acme, auditor):
    secret = secrets.token_urlsafe(48)
    client = factories.service_client(acme, auditor, secret=secret, audiences=[REPORTS])
    form = {"grant_type": "client_credentials", "scope": "audit:read"}

    refused = post_form("/oauth/token", {**form, "resource": OURS}, **basic(client.client_id, secret))
    assert refused.json()["error"] == "invalid_target"
    post_form("/oauth/token", form, **basic(client.client_id, secret))
    assert AccessToken.objects.get().resource == [REPORTS]


@pytest.mark.parametrize(
    "resource",
    ["", "x", "https://localhost:8443/", "https://localhost:8443#x", "a\x00b", "https://evil.example"],
)
def test_what_is_not_on_the_list_to_the_letter_is_refused(page, client, resource):
    response = page.get(Flow(page, client, SCOPE, resource=resource).path)

    assert response.status_code == 400 or answer(response)["error"] == "invalid_target"


def test_a_token_for_nothing_cannot_be_stored(acme, auditor):
    with pytest.raises(IntegrityError):
        factories.token(auditor, acme, resource=[])
