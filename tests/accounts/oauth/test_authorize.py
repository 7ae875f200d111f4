"""The authorize endpoint and its consent page."""

import pytest

from accounts.models import Membership
from accounts.oauth.models import Grant
from accounts.oauth.validators import digest
from security.audit import Event
from security.models import AuditEvent
from tests import factories
from tests.clients import Flow, Page, answer, challenge

pytestmark = pytest.mark.django_db

SCOPE = "account:read audit:read"


@pytest.fixture
def page(auditor):
    page = Page()
    page.sign_in(auditor)
    return page


@pytest.fixture
def client(db):
    return factories.public_client(name="Ledger & Co")


def test_the_signed_out_are_sent_to_sign_in_and_back(client):
    flow = Flow(Page(), client, SCOPE)

    response = flow.page.get(flow.path)

    assert response.status_code == 302
    assert response["Location"].startswith("/sign-in?next=/oauth/authorize")


def test_the_page_names_the_client_the_scopes_in_words_and_the_organisation(page, client, acme):
    flow = Flow(page, client, SCOPE)

    text = page.get(flow.path).content.decode()

    assert "Ledger &amp; Co" in text
    assert "Read the audit trail of the organisation" in text
    assert "account:read" in text
    assert acme.name in text
    assert "client.example" in text


def test_a_code_comes_with_state_and_issuer(page, client, settings):
    response = Flow(page, client, SCOPE).decide()

    assert response.status_code == 303
    redirect = answer(response)
    assert set(redirect) == {"code", "state", "iss"}
    assert redirect["state"] == "some-state"
    assert redirect["iss"] == settings.PUBLIC_URL


def test_a_code_is_stored_as_a_digest(page, client):
    code = Flow(page, client, SCOPE).code()

    assert Grant.objects.get().code == digest(code)


def test_denial_goes_back_with_issuer_and_is_audited(page, client, settings):
    redirect = answer(Flow(page, client, SCOPE).decide("deny"))

    assert redirect["error"] == "access_denied"
    assert redirect["state"] == "some-state"
    assert redirect["iss"] == settings.PUBLIC_URL
    assert not Grant.objects.exists()
    assert AuditEvent.objects.filter(event=Event.CONSENT_DENIED).count() == 1


def test_consent_is_audited(page, client, acme, auditor):
    Flow(page, client, SCOPE).decide()

    event = AuditEvent.objects.get(event=Event.CONSENT_GIVEN)
    assert (event.organisation_id, event.actor) == (acme.pk, auditor.public_id)
    assert event.detail == {"scopes": ["account:read", "audit:read"]}


@pytest.mark.parametrize("prompt", ["auto", "auto_even_if_expired", "none"])
def test_the_client_cannot_skip_the_question(page, client, prompt):
    Flow(page, client, SCOPE).decide()

    flow = Flow(page, client, SCOPE, approval_prompt=prompt)

    assert page.get(flow.path).status_code == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "x" * 44}, "invalid_request"),
        ({"code_challenge": "!" * 43}, "invalid_request"),
        ({"response_type": "token"}, "unauthorized_client"),
        ({"response_type": "code token"}, "unauthorized_client"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"response_mode": "form_post"}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "root:all"}, "invalid_scope"),
        ({"scope": "account:read root:all"}, "invalid_scope"),
    ],
)
def test_what_is_not_offered_goes_back_as_an_error_with_issuer(page, client, settings, changes, error):
    flow = Flow(page, client, SCOPE, **changes)

    response = page.get(flow.path)

    assert response.status_code in {302, 303}, response.content
    redirect = answer(response)
    assert redirect["error"] == error
    assert redirect["iss"] == settings.PUBLIC_URL
    assert "#" not in response["Location"]


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"client_id": "a\x00b"},
        {"client_id": None},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": factories.CALLBACK + "/more"},
        {"redirect_uri": factories.CALLBACK + "?a=b"},
        {"redirect_uri": None},
        {"redirect_uri": "http://client.example/callback"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "a\x00b"},
        {"state": "a\x00b"},
    ],
)
def test_an_unknown_client_or_redirect_is_a_page_and_goes_nowhere(page, client, changes):
    flow = Flow(page, client, SCOPE, **changes)

    response = page.get(flow.path)

    assert response.status_code == 400
    assert "Location" not in response
    assert response["Content-Type"].startswith("text/html")


def test_a_repeated_parameter_is_refused(page, client):
    flow = Flow(page, client, SCOPE)

    assert page.get(flow.path + "&scope=account:read").status_code == 400


def test_a_scope_outside_the_clients_list_is_refused(page):
    narrow = factories.public_client(scopes=["account:read"])

    assert answer(page.get(Flow(page, narrow, SCOPE).path))["error"] == "invalid_scope"


def test_the_form_cannot_change_the_request(page, client):
    flow = Flow(page, client, "account:read")

    response = flow.decide(scope=SCOPE)

    assert response.status_code == 400
    assert not Grant.objects.exists()


def test_a_foreign_organisation_cannot_be_chosen(page, client):
    other = factories.organisation()

    response = Flow(page, client, SCOPE).decide(organisation=str(other.public_id))

    assert response.status_code == 400
    assert not Grant.objects.exists()


@pytest.mark.parametrize("chosen", ["", "1", "x" * 5000, "a\x00b"])
def test_no_organisation_asks_again(page, client, chosen):
    response = Flow(page, client, SCOPE).decide(organisation=chosen)

    assert response.status_code == 400
    assert "Choose the organisation" in response.content.decode()


def test_a_person_of_two_organisations_chooses_one(page, client, auditor, acme):
    other = factories.organisation()
    Membership.objects.create(user=auditor, organisation=other, role="auditor")
    flow = Flow(page, client, SCOPE)
    assert "checked" not in page.get(flow.path).content.decode()

    flow.decide(organisation=str(other.public_id))

    assert Grant.objects.get().organisation == other


def test_a_person_of_no_organisation_can_allow_nothing(client, auditor, page):
    Membership.objects.all().delete()
    flow = Flow(page, client, SCOPE)

    assert 'value="allow"' not in page.get(flow.path).content.decode()
    assert flow.decide().status_code == 400


def test_consent_needs_the_csrf_token(page, client):
    flow = Flow(page, client, SCOPE)

    assert page.post(flow.path, {"decision": "allow"}).status_code == 403


def test_the_pages_policy_lets_the_form_lead_to_the_client_and_nowhere_else(page, client):
    policy = page.get(Flow(page, client, SCOPE).path)["Content-Security-Policy"]

    assert "form-action 'self' https://client.example;" in policy + ";"
    assert "script-src" not in policy


def test_the_challenge_is_rfc_7636s():
    assert (
        challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
        == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )
