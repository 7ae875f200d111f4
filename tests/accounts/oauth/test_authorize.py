"""The authorize endpoint and its consent page."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Membership
from accounts.oauth.models import AccessToken, Grant, RefreshToken
from accounts.oauth.validators import digest
from accounts.sessions import SessionStore
from security.audit import Event
from security.models import AuditEvent
from tests import factories
from tests.clients import Flow, Page, answer, challenge, post_form

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


@pytest.mark.asvs("10.7.2")
def test_the_page_names_the_client_the_scopes_in_words_and_the_organisation(page, client, acme, settings):
    flow = Flow(page, client, SCOPE)

    text = page.get(flow.path).content.decode()

    assert "Ledger &amp; Co" in text
    assert "Read the audit trail of the organisation" in text
    assert "account:read" in text
    assert acme.name in text
    assert "client.example" in text
    assert settings.PUBLIC_URL in text
    assert "ends after 7 days at the latest" in text


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


@pytest.mark.asvs("10.7.1")
@pytest.mark.parametrize("prompt", ["auto", "auto_even_if_expired", "none"])
def test_the_client_cannot_skip_the_question(page, client, prompt):
    Flow(page, client, SCOPE).decide()

    flow = Flow(page, client, SCOPE, approval_prompt=prompt)

    assert page.get(flow.path).status_code == 200


@pytest.mark.asvs("10.4.4", "10.4.6", "10.4.12", "10.2.2")
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


@pytest.mark.asvs("1.2.2")
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


@pytest.mark.asvs("10.4.11")
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


# --- redirect URIs: the registered one, to the letter ---


@pytest.mark.asvs("1.2.2", "10.4.1")
@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://CLIENT.example/callback",
        "HTTPS://client.example/callback",
        "https://client.example/Callback",
        "https://client.example:443/callback",
        "https://client.example:8443/callback",
        "https://client.example/callback/",
        "https://client.example/callback/..",
        "https://client.example/callback%2f",
        "https://client.example/%63allback",
        "https://client.example/callback?",
        "https://client.example/callback#",
        "https://client.example/callback#fragment",
        "https://client.example./callback",
        "https://client.example@evil.example/callback",
        "https://user@client.example/callback",
        "https://user:password@client.example/callback",
        "https://client.example%2eevil.example/callback",
        "https://client.example.evil.example/callback",
        "https://evil.example/https://client.example/callback",
        "https://client.example\\@evil.example/callback",
        "//client.example/callback",
        "/callback",
        " https://client.example/callback",
        "https://client.example/callback\n",
        "https://client.example/callback https://evil.example/",
    ],
)
def test_no_variant_of_the_redirect_uri_is_taken(page, client, redirect_uri):
    response = page.get(Flow(page, client, SCOPE, redirect_uri=redirect_uri).path)

    assert response.status_code == 400
    assert "Location" not in response


def test_the_issuer_is_added_to_a_redirect_uri_with_a_query(page, settings):
    callback = "https://client.example/callback?kiss=1&iss=https%3A%2F%2Fevil.example"
    client = factories.public_client(redirect_uris=callback)

    response = Flow(page, client, SCOPE, redirect_uri=callback).decide("deny")

    assert response["Location"].count("&iss=") == 1
    assert answer(response)["iss"] == settings.PUBLIC_URL
    assert answer(response)["kiss"] == "1"


# --- authentication: how recent, how strong ---


@pytest.fixture
def session_of(page):
    """Change the page's session."""

    def change(**values):
        session = SessionStore(page.cookies["__Host-session"].value)
        for name, value in values.items():
            session[name] = value
        session.save()

    return change


def minutes_ago(minutes):
    return (timezone.now() - timedelta(minutes=minutes)).isoformat()


def is_sent_to_sign_in(response):
    pages = ("/sign-in?next=/oauth/authorize", "/reauthenticate?next=/oauth/authorize")
    return response.status_code == 302 and response["Location"].startswith(pages)


def test_prompt_login_asks_for_the_password_once(page, client, auditor):
    flow = Flow(page, client, SCOPE, prompt="login")

    assert is_sent_to_sign_in(page.get(flow.path))
    assert is_sent_to_sign_in(page.get(flow.path))  # coming back without signing in is not enough
    page.reauthenticate()

    assert "code" in answer(flow.decide())
    assert is_sent_to_sign_in(page.get(flow.path))  # that was for one decision


def test_prompt_login_of_somebody_signed_out_is_one_sign_in(client, auditor):
    flow = Flow(Page(), client, SCOPE, prompt="login")
    assert is_sent_to_sign_in(flow.page.get(flow.path))

    flow.page.sign_in(auditor)

    assert "code" in answer(flow.decide())


def test_prompt_login_cannot_be_left_out_on_the_way_to_the_decision(page, client):
    flow = Flow(page, client, SCOPE, prompt="login")
    form = {**page.form(Flow(page, client, SCOPE).path), "decision": "allow"}

    assert is_sent_to_sign_in(page.post(flow.path, form)) or page.post(flow.path, form).status_code == 302
    assert not Grant.objects.exists()


def test_prompt_login_works_with_a_pushed_request(page, client, auditor):
    flow = Flow(page, client, SCOPE, prompt="login")
    flow.push()
    assert is_sent_to_sign_in(page.get(flow.path))

    page.reauthenticate()

    assert "code" in answer(flow.decide())


@pytest.mark.parametrize(("minutes", "old"), [(0, False), (4, False), (6, True), (600, True)])
def test_max_age_is_of_this_sessions_sign_in(page, client, session_of, auditor, minutes, old):
    session_of(auth_time=minutes_ago(minutes))
    flow = Flow(page, client, SCOPE, max_age=300)

    assert is_sent_to_sign_in(page.get(flow.path)) is old
    page.reauthenticate()
    assert "code" in answer(flow.decide())
    assert Grant.objects.get().auth_time > timezone.now() - timedelta(minutes=1)


def test_max_age_0_is_one_sign_in_and_no_loop(page, client, auditor):
    flow = Flow(page, client, SCOPE, max_age=0)
    assert is_sent_to_sign_in(page.get(flow.path))

    page.reauthenticate()

    assert "code" in answer(flow.decide())


def test_a_sign_in_that_was_asked_for_does_not_count_for_ever(page, client, auditor, session_of):
    flow = Flow(page, client, SCOPE, prompt="login")
    page.get(flow.path)
    page.reauthenticate()
    assert page.get(flow.path).status_code == 200
    (asked,) = SessionStore(page.cookies["__Host-session"].value)["sent_to_sign_in"]

    session_of(sent_to_sign_in={asked: minutes_ago(8)}, auth_time=minutes_ago(7))

    assert is_sent_to_sign_in(page.get(flow.path))


@pytest.mark.parametrize("max_age", ["", "x", "-1", "1.5", "1e9", "9" * 20, "\u0663"])
def test_a_max_age_that_is_none_is_an_error(page, client, max_age):
    assert answer(page.get(Flow(page, client, SCOPE, max_age=max_age).path))["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("amr", "acr_values", "enough"),
    [
        (["pwd"], "aal1", True),
        (["pwd"], "aal2", False),
        (["pwd"], "phr aal2", False),
        (["pwd"], "aal2 aal1", True),
        (["pwd", "otp"], "aal2", True),
        (["pwd", "otp"], "phr", False),
        (["hwk"], "phr", True),
        (["hwk"], "aal2", True),
        (["pwd"], "unknown aal1", True),
    ],
)
def test_acr_values_are_compared_with_what_was_used(page, client, session_of, amr, acr_values, enough):
    session_of(amr=amr)

    assert is_sent_to_sign_in(page.get(Flow(page, client, SCOPE, acr_values=acr_values).path)) is not enough


def test_what_a_new_sign_in_does_not_mend_is_an_error_and_no_loop(page, client, auditor, settings):
    flow = Flow(page, client, SCOPE, acr_values="phr")
    assert is_sent_to_sign_in(page.get(flow.path))

    page.reauthenticate()

    redirect = answer(page.get(flow.path))
    assert redirect["error"] == "unmet_authentication_requirements"
    assert redirect["iss"] == settings.PUBLIC_URL


def test_the_policy_of_the_page_that_authenticates_lets_that_error_through(page, client):
    def policy():
        (found,) = re.findall(r"form-action ([^;]*)", page.get("/reauthenticate")["Content-Security-Policy"])
        return set(found.split())

    page.get(Flow(page, client, SCOPE).path)
    assert policy() == {"'self'"}

    page.get(Flow(page, client, SCOPE, acr_values="phr").path)
    assert policy() == {"'self'", "https://client.example"}


@pytest.mark.asvs("7.6.2")
@pytest.mark.parametrize(
    ("prompt", "signed_in", "error"),
    [
        ("none", False, "login_required"),
        ("none", True, "consent_required"),
        ("none login", True, "invalid_request"),
        ("none login", False, "invalid_request"),
        ("create", True, "invalid_request"),
    ],
)
def test_prompt_none_asks_nothing(client, auditor, settings, prompt, signed_in, error):
    page = Page()
    if signed_in:
        page.sign_in(auditor)

    redirect = answer(page.get(Flow(page, client, SCOPE, prompt=prompt).path))

    assert (redirect["error"], redirect["state"], redirect["iss"]) == (
        error,
        "some-state",
        settings.PUBLIC_URL,
    )


@pytest.mark.asvs("7.6.2")
def test_prompt_none_makes_no_session(client, auditor):
    page = Page()

    for flow in (Flow(page, client, SCOPE, prompt="none"), Flow(page, client, SCOPE)):
        page.get(flow.path)

    assert not auditor.sessions.exists()
    assert page.get("/docs").status_code == 302


def test_prompt_none_with_an_old_session_needs_a_login(page, client, session_of):
    session_of(auth_time=minutes_ago(10))

    redirect = answer(page.get(Flow(page, client, SCOPE, prompt="none", max_age=60).path))

    assert redirect["error"] == "login_required"


def test_somebody_signed_out_does_not_learn_which_clients_there_are(client):
    page = Page()
    known = page.get(Flow(page, client, SCOPE, redirect_uri="https://evil.example/").path)
    unknown = page.get(Flow(page, client, SCOPE, client_id="nobody").path)

    assert known.status_code == unknown.status_code == 302
    assert known["Location"].startswith("/sign-in?")
    assert unknown["Location"].startswith("/sign-in?")


def test_the_authentication_travels_and_a_refresh_moves_none_of_it(page, client, session_of):
    session_of(amr=["pwd", "otp"], auth_time=minutes_ago(3))
    flow = Flow(page, client, SCOPE)
    tokens = flow.exchange(flow.code()).json()
    grant = Grant.objects.get()
    form = {"grant_type": "refresh_token", "client_id": client.client_id}

    for _ in range(2):
        tokens = post_form("/oauth/token", {**form, "refresh_token": tokens["refresh_token"]}).json()

    for row in (AccessToken.objects.get(), RefreshToken.objects.get(revoked=None)):
        assert (row.acr, row.amr, row.auth_time) == ("aal2", ["pwd", "otp"], grant.auth_time)
    assert grant.auth_time < timezone.now() - timedelta(minutes=2)


def test_floods_are_limited(page, client, settings):
    settings.THROTTLES = {**settings.THROTTLES, "authorize": "2/60"}
    flow = Flow(page, client, SCOPE)

    assert [page.get(flow.path).status_code for _ in range(3)] == [200, 200, 429]
