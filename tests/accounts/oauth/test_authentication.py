"""Bearer authentication of the API."""

import logging
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Membership
from accounts.oauth.authentication import BearerAuthentication
from accounts.oauth.models import AccessToken
from security.models import AuditEvent
from tests import factories
from tests.clients import CHALLENGES, Api, Page, basic, post_form

pytestmark = pytest.mark.django_db


@pytest.fixture
def token(acme, auditor):
    return factories.token(auditor, acme)


def status(token):
    return Api(token).get("/v1/me").status_code


def test_a_good_token_passes(token):
    assert status(token) == 200


def test_the_scheme_is_case_insensitive(token):
    assert Api().get("/v1/me", HTTP_AUTHORIZATION=f"bearer {token}").status_code == 200


def test_an_expired_token_is_refused_at_the_second(acme, auditor, monkeypatch):
    token = factories.token(auditor, acme)
    expires = AccessToken.objects.get().expires
    monkeypatch.setattr(BearerAuthentication, "clock", lambda: expires - timedelta(seconds=1))
    assert status(token) == 200

    monkeypatch.setattr(BearerAuthentication, "clock", lambda: expires)
    assert status(token) == 401


@pytest.mark.parametrize(
    "end",
    [
        lambda user: type(user).objects.filter(pk=user.pk).update(is_active=False),
        lambda user: Membership.objects.filter(user=user).delete(),
        lambda user: AccessToken.objects.all().delete(),
    ],
)
def test_every_end_of_access_is_felt_by_the_next_request(token, auditor, end):
    assert status(token) == 200

    end(auditor)

    response = Api(token).get("/v1/me")
    assert response.status_code == 401
    assert 'error="invalid_token"' in response["WWW-Authenticate"]


def test_a_token_acts_for_its_own_organisation_only(acme, auditor, token):
    other = factories.organisation()
    Membership.objects.create(user=auditor, organisation=other, role="org_admin")

    account = Api(token).get("/v1/me").json()

    assert (account["organisation"], account["role"]) == (str(acme.public_id), "auditor")


def test_a_token_for_an_organisation_that_one_is_no_member_of_is_refused(auditor):
    assert status(factories.token(auditor, factories.organisation())) == 401


@pytest.mark.asvs("14.2.1")
@pytest.mark.parametrize("place", ["query", "form", "json", "cookie"])
def test_a_token_elsewhere_than_in_the_header_is_no_token(token, place):
    api = Api()
    if place == "query":
        response = api.get(f"/v1/me?access_token={token}")
    elif place == "form":
        body = f"access_token={token}".encode()
        response = api.generic(
            "POST", "/v1/invitations", body, content_type="application/x-www-form-urlencoded"
        )
    elif place == "json":
        response = api.generic(
            "POST",
            "/v1/invitations",
            b'{"access_token": "%s"}' % token.encode(),
            content_type="application/json",
        )
    else:
        api.cookies["access_token"] = token
        response = api.get("/v1/me")

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == CHALLENGES


def test_two_methods_at_once_are_refused(token):
    response = Api(token).get(f"/v1/me?access_token={token}")

    assert response.status_code == 400
    assert 'error="invalid_request"' in response["WWW-Authenticate"]


@pytest.mark.asvs("6.3.4")
def test_a_password_is_no_credential(auditor):
    """With the second factor skipped, if it were."""
    assert Api().get("/v1/me", **basic(auditor.email, factories.PASSWORD)).status_code in {400, 401}


@pytest.mark.asvs("10.3.3")
def test_who_gets_a_former_persons_address_gets_nothing_of_theirs(acme, auditor, token):
    address, client = auditor.email, factories.public_client()
    page = Page()
    page.sign_in(auditor)
    mine = factories.grant(auditor, acme, client=client)
    auditor.email = "moved@elsewhere.example"
    auditor.save()
    heir = factories.User.objects.create_user(address, "another pass phrase", name="An heir")
    Membership.objects.create(user=heir, organisation=acme, role="auditor")

    assert Api(token).get("/v1/me").json()["user"] == str(auditor.public_id)
    theirs = Api(factories.token(heir, acme))
    assert theirs.get("/v1/me").json()["user"] == str(heir.public_id)
    assert theirs.get("/v1/me/sessions").json()["items"] == []
    assert theirs.get("/v1/me/grants").json()["items"] == []
    assert theirs.send("DELETE", f"/v1/me/grants/{mine.token_family}").status_code == 404


@pytest.mark.asvs("10.1.1")
def test_a_callers_token_goes_nowhere(acme, auditor, monkeypatch, caplog):
    """Into no log line, audit row, error or page; whatever happens."""
    client = factories.public_client()
    token = factories.token(auditor, acme, client=client)
    weak = factories.token(auditor, acme, scopes="audit:read")
    answers = []
    with caplog.at_level(logging.DEBUG):
        for each in (token, weak, "canary" * 5, "eyJh.canary.canary"):
            api = Api(each)
            answers += [
                api.get(path) for path in ("/v1/me", "/nowhere", "/docs", "/oauth/authorize", "/healthz")
            ]
            answers.append(api.send("DELETE", "/v1/me", {"canary": each}))
            answers.append(api.get(f"/v1/me?access_token={each}"))
            answers.append(post_form("/oauth/revoke", {"token": each, "client_id": "nobody"}))
        monkeypatch.setattr("accounts.me.MeViewSet.retrieve", lambda *args, **kwargs: 1 / 0)
        answers.append(Api(token).get("/v1/me"))
    audited = str(list(AuditEvent.objects.values()))

    assert answers[-1].status_code == 500
    assert audited
    said = "".join(str(answer.headers) + answer.content.decode() for answer in answers)
    for each in (token, weak, "canary"):
        assert each not in said
        assert each not in caplog.text
        assert each not in audited


@pytest.mark.asvs("6.3.4")
def test_a_session_is_no_token(auditor):
    page = Page()
    page.sign_in(auditor)

    assert page.get("/v1/me").status_code == 401


@pytest.mark.asvs("7.2.1")
@pytest.mark.parametrize("token", ["eyJh.eyJz.c2ln", "x", "A" * 512, "a" * 64])
def test_what_looks_like_a_token_and_is_none_is_401(db, token):
    assert status(token) == 401


def test_the_digest_itself_is_no_token(token):
    assert status(AccessToken.objects.get().token_checksum) == 401


def test_it_costs_one_statement_and_sets_the_tenant(acme, auditor, token):
    with CaptureQueriesContext(connection) as queries:
        assert status(token) == 200

    statements = [q["sql"] for q in queries if "SAVEPOINT" not in q["sql"]]
    assert len(statements) == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('app.organisation', true), current_setting('app.user', true)")
        assert cursor.fetchone() == (str(acme.pk), str(auditor.pk))


@pytest.mark.django_db(transaction=True)
def test_the_tenant_ends_with_the_request(token):
    assert status(token) == 200

    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting('app.organisation', true), '')")
        assert cursor.fetchone() == ("",)


def test_a_body_is_not_read_before_the_caller_is_known(settings):
    """A stranger's malformed or huge body costs no parsing: the answer is 401, not 400 or 413."""
    for body in (b"{", b"x" * (settings.MAX_BODY_BYTES + 1)):
        response = Api("nonsense").generic("POST", "/v1/me", body, content_type="application/json")
        assert response.status_code in {401, 405}
