"""/v1/me, its sessions and its grants, and the page that narrows them."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.oauth.models import RefreshToken
from security.models import AuditEvent
from tests import factories
from tests.clients import Api, Flow, Page, post_form

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


# --- sessions ---


def test_it_lists_own_sessions_and_no_other(acme, auditor, api):
    mine = factories.session(auditor, second_factor=True)
    factories.session(factories.member("auditor", acme))
    factories.session(auditor, expire_date=timezone.now())

    (item,) = api.get("/v1/me/sessions").json()["items"]

    assert item["id"] == str(mine.public_id)
    assert set(item) == {"id", "created_at", "last_seen_at", "address", "user_agent", "second_factor"}
    assert (item["address"], item["user_agent"], item["second_factor"]) == ("192.0.2.1", "A browser", True)
    assert mine.session_key not in str(item)


def test_a_session_that_is_ended_is_over_with_its_next_request(auditor, api):
    page = Page()
    page.sign_in(auditor)
    (item,) = api.get("/v1/me/sessions").json()["items"]

    assert api.send("DELETE", f"/v1/me/sessions/{item['id']}").status_code == 204

    assert page.get("/docs").status_code == 302
    assert AuditEvent.objects.filter(event="account:session:revoked", actor=auditor.public_id).exists()


@pytest.mark.asvs("7.5.2")
def test_it_is_ended_by_somebody_who_has_just_authenticated(acme, auditor):
    mine = factories.session(auditor)
    stale = factories.token(auditor, acme, auth_time=timezone.now() - timedelta(minutes=6))

    refused = Api(stale).send("DELETE", f"/v1/me/sessions/{mine.public_id}")

    assert refused.status_code == 401
    assert 'error="insufficient_user_authentication", max_age="300"' in refused["WWW-Authenticate"]
    assert len(Api(stale).get("/v1/me/sessions").json()["items"]) == 1


def test_reading_does_not_permit_ending(acme, auditor):
    mine = factories.session(auditor)
    api = Api(factories.token(auditor, acme, scopes="account:read"))

    assert api.send("DELETE", f"/v1/me/sessions/{mine.public_id}").status_code == 403


# --- grants ---


@pytest.mark.asvs("10.7.3")
def test_it_lists_what_was_allowed_to_whom(acme, auditor, api):
    client = factories.public_client(client_id="some-client", name="Some client")
    mine = factories.grant(auditor, acme, client=client)
    factories.grant(factories.member("auditor", acme), acme, client=client)
    factories.grant(auditor, acme).revoke()

    (item,) = api.get("/v1/me/grants").json()["items"]

    since, last_used_at = item.pop("since"), item.pop("last_used_at")
    assert since.startswith(last_used_at[:16])
    assert item == {
        "id": str(mine.token_family),
        "client": "some-client",
        "client_name": "Some client",
        "organisation": str(acme.public_id),
        "organisation_name": acme.name,
        "scopes": ["account:read"],
    }


@pytest.mark.asvs("10.4.9", "10.7.3")
def test_taking_it_back_ends_every_token_of_that_client_and_person(acme, auditor, api):
    client, other_client = factories.public_client(), factories.public_client()
    elsewhere = factories.organisation()
    colleague = factories.member("auditor", acme)
    mine = factories.grant(auditor, acme, client=client)
    factories.grant(auditor, elsewhere, client=client)
    ended = factories.token(auditor, acme, client=client)
    kept = [
        factories.token(auditor, acme, client=other_client),
        factories.token(colleague, acme, client=client),
    ]

    assert api.send("DELETE", f"/v1/me/grants/{mine.token_family}").status_code == 204

    assert Api(ended).get("/v1/me").status_code == 401
    assert not RefreshToken.objects.filter(user=auditor, application=client, revoked=None).exists()
    assert [Api(token).get("/v1/me").status_code for token in kept] == [200, 200]
    assert api.send("DELETE", f"/v1/me/grants/{mine.token_family}").status_code == 404
    assert AuditEvent.objects.filter(event="account:grant:revoked", actor=auditor.public_id).exists()


@pytest.mark.asvs("10.7.3")
def test_the_page_narrows_it_and_no_refresh_widens_it(acme, auditor):
    page, client = Page(), factories.public_client(name="Ledger")
    page.sign_in(auditor)
    flow = Flow(page, client, "account:read audit:read")
    tokens = flow.exchange(flow.code()).json()
    shown = page.get("/account").content.decode()
    family = re.search(r'name="grant" value="([0-9a-f-]{36})"', shown)[1]
    assert "Ledger, in Acme Test" in shown
    form = {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value, "grant": family}

    # Nothing is added by what the form did not offer.
    response = page.post("/account/grants", {**form, "scope": ["account:read", "members:manage"]})

    assert response.status_code == 303
    narrowed = Api(tokens["access_token"])
    assert narrowed.get("/v1/me").json()["scopes"] == ["account:read"]
    assert narrowed.get("/v1/audit-events").status_code == 403
    body = {"grant_type": "refresh_token", "client_id": client.client_id}
    body["refresh_token"] = tokens["refresh_token"]
    wider = post_form("/oauth/token", {**body, "scope": "account:read audit:read"})
    assert wider.json()["error"] == "invalid_scope"
    fresh = post_form("/oauth/token", body).json()
    assert fresh["scope"] == "account:read"
    assert AuditEvent.objects.filter(event="account:grant:narrowed", actor=auditor.public_id).exists()

    assert page.post("/account/grants", form).status_code == 303  # without a scope, all of it
    assert Api(fresh["access_token"]).get("/v1/me").status_code == 401
    assert page.post("/account/grants", form).status_code == 404


@pytest.mark.asvs("10.7.3")
@pytest.mark.parametrize("named", ["a colleague's", "", "x", "a\x00b"])
def test_the_page_changes_no_grant_but_ones_own(acme, auditor, named):
    theirs = factories.grant(factories.member("auditor", acme), acme)
    page = Page()
    page.sign_in(auditor)
    assert str(theirs.token_family) not in page.get("/account").content.decode()
    grant = str(theirs.token_family) if named == "a colleague's" else named
    form = {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value, "grant": grant}

    assert page.post("/account/grants", form).status_code == 404
    theirs.refresh_from_db()
    assert theirs.revoked is None


def test_a_code_that_was_not_redeemed_yet_ends_as_well(acme, auditor, api):
    client = factories.public_client()
    page = Page()
    page.sign_in(auditor)
    flow = Flow(page, client, "account:read")
    code = flow.code()
    mine = factories.grant(auditor, acme, client=client)

    api.send("DELETE", f"/v1/me/grants/{mine.token_family}")

    assert flow.exchange(code).status_code == 400
