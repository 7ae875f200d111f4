"""The token endpoint: codes, refresh, client credentials; in parallel too."""

import base64
import math
import random
import re
import secrets
import threading
from datetime import timedelta

import pytest
from django.contrib.sessions.backends.base import VALID_KEY_CHARS
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from oauthlib.oauth2.rfc6749.tokens import random_token_generator

from accounts.models import Membership
from accounts.oauth.models import AccessToken, Grant, RefreshToken
from accounts.oauth.validators import digest
from security import audit
from security.audit import Event
from security.models import AuditEvent
from tests import factories
from tests.clients import Api, Flow, Page, basic, post_form

pytestmark = pytest.mark.django_db

SCOPE = "account:read audit:read"


@pytest.fixture
def flow(auditor):
    page = Page()
    page.sign_in(auditor)
    return Flow(page, factories.public_client(), SCOPE)


def refresh(client, token, **changes):
    form = {"grant_type": "refresh_token", "client_id": client.client_id, "refresh_token": token, **changes}
    return post_form("/oauth/token", form)


def assert_refused(response, error, status=400):
    assert response.status_code == status, response.content
    assert response.json()["error"] == error
    assert response["Cache-Control"] == "no-store"
    assert response["Content-Type"].startswith("application/json")


def works(token):
    return Api(token).get("/v1/me").status_code == 200


# --- authorization code ---


def test_a_code_and_its_verifier_give_a_token_for_one_organisation(flow, acme, settings):
    response = flow.exchange(flow.code())

    body = response.json()
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert set(body) == {"access_token", "expires_in", "token_type", "scope", "refresh_token"}
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == settings.OAUTH2_PROVIDER["ACCESS_TOKEN_EXPIRE_SECONDS"]
    assert set(body["scope"].split()) == set(SCOPE.split())
    account = Api(body["access_token"]).get("/v1/me").json()
    assert account["organisation"] == str(acme.public_id)


def test_tokens_are_stored_as_digests(flow):
    body = flow.exchange(flow.code()).json()

    assert AccessToken.objects.get().token_checksum == digest(body["access_token"])
    assert RefreshToken.objects.get().token_checksum == digest(body["refresh_token"])
    with connection.cursor() as cursor:
        for table in ("oauth_accesstoken", "oauth_refreshtoken", "oauth_grant"):
            cursor.execute(f"SELECT row_to_json(t)::text FROM {table} t")
            rows = str(cursor.fetchall())
            assert body["access_token"] not in rows
            assert body["refresh_token"] not in rows


@pytest.mark.asvs("16.3.1")
def test_a_token_is_audited(flow, acme, auditor):
    flow.exchange(flow.code())

    event = AuditEvent.objects.get(event=Event.TOKEN_ISSUED)
    assert (event.organisation_id, event.actor) == (acme.pk, auditor.public_id)
    assert event.detail["grant_type"] == "authorization_code"


@pytest.mark.asvs("10.4.2")
def test_a_replayed_code_ends_every_token_that_came_from_it(flow):
    code = flow.code()
    first = flow.exchange(code).json()
    second = refresh(flow.client, first["refresh_token"]).json()
    assert works(second["access_token"])

    assert_refused(flow.exchange(code), "invalid_grant")

    assert not works(first["access_token"])
    assert not works(second["access_token"])
    assert_refused(refresh(flow.client, second["refresh_token"]), "invalid_grant")


@pytest.mark.asvs("6.3.4", "10.4.4", "10.4.6")
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": None}, "invalid_grant"),
        ({"code_verifier": "x" * 43}, "invalid_grant"),
        ({"code_verifier": "x"}, "invalid_grant"),
        ({"code_verifier": "x" * 129}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"redirect_uri": "https://evil.example/callback"}, "invalid_request"),
        ({"code": None}, "invalid_request"),
        ({"code": "nonsense"}, "invalid_grant"),
        ({"grant_type": None}, "unsupported_grant_type"),
        ({"grant_type": "password", "username": "a", "password": "b"}, "unsupported_grant_type"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code\x00"}, "invalid_request"),
        ({"code": "a\x00b"}, "invalid_request"),
    ],
)
def test_what_does_not_fit_the_request_is_refused(flow, changes, error):
    code = flow.code()

    assert_refused(flow.exchange(**{"code": code, **changes}), error)

    assert not AccessToken.objects.exists()


@pytest.mark.parametrize("client_id", ["nobody", "a\x00b", None])
def test_another_client_is_refused(flow, client_id):
    response = flow.exchange(flow.code(), client_id=client_id)

    assert response.status_code in {400, 401}
    assert response.json()["error"] in {"invalid_client", "invalid_request"}


@pytest.mark.asvs("10.2.1")
def test_a_code_of_another_client_is_refused(flow):
    other = factories.public_client()

    assert_refused(flow.exchange(flow.code(), client_id=other.client_id), "invalid_grant")


@pytest.mark.asvs("10.4.3")
@pytest.mark.parametrize(("seconds", "redeemed"), [(50, True), (61, False)])
def test_a_code_is_good_for_a_minute(flow, seconds, redeemed):
    code = flow.code()
    Grant.objects.update(expires=F("expires") - timedelta(seconds=seconds))  # so long ago it was given

    response = flow.exchange(code)

    assert (response.status_code == 200) is redeemed
    if not redeemed:
        assert_refused(response, "invalid_grant")


@pytest.mark.asvs("7.2.3", "11.5.1")
def test_ten_thousand_tokens_are_different_and_of_178_bits(flow):
    random.seed(1)
    tokens = {random_token_generator(None) for _ in range(5_000)}
    random.seed(1)  # of no influence: they are the system's randomness
    tokens |= {random_token_generator(None) for _ in range(5_000)}
    issued = flow.exchange(flow.code()).json()

    assert len(tokens) == 10_000
    for token in (*tokens, issued["access_token"], issued["refresh_token"]):
        assert re.fullmatch("[A-Za-z0-9]{30}", token)
    assert 30 * math.log2(62) > 128
    assert math.log2(len(VALID_KEY_CHARS)) * len(flow.page.cookies["__Host-session"].value) > 128


@pytest.mark.parametrize("change", ["inactive", "left"])
def test_somebody_who_left_meanwhile_gets_nothing(flow, auditor, change):
    code = flow.code()
    leave(auditor, change)

    assert_refused(flow.exchange(code), "invalid_grant")


def leave(user, change):
    if change == "inactive":
        user.is_active = False
        user.save()
    else:
        Membership.objects.filter(user=user).delete()


# --- the form itself ---


@pytest.mark.parametrize(
    "body", ["grant_type=refresh_token&grant_type=refresh_token", "a=1&a=2&grant_type=authorization_code"]
)
def test_a_repeated_parameter_is_refused(db, body):
    assert_refused(post_form("/oauth/token", body), "invalid_request")


@pytest.mark.asvs("14.2.1")
def test_parameters_in_the_url_are_refused(flow):
    response = post_form(
        f"/oauth/token?client_id={flow.client.client_id}", {"grant_type": "authorization_code"}
    )

    assert_refused(response, "invalid_request")


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data; boundary=x", "text/plain", ""]
)
def test_another_body_type_is_refused(db, content_type):
    response = Api().generic("POST", "/oauth/token", b"{}", content_type=content_type)

    assert_refused(response, "invalid_request")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("route", ["/oauth/token", "/oauth/revoke"])
def test_only_post(db, method, route):
    response = Api().generic(method, route)

    assert response.status_code == 405
    assert response["Allow"] == "POST"


@pytest.mark.parametrize(
    "route",
    [
        "/oauth/applications/",
        "/oauth/applications/register/",
        "/oauth/device-authorization/",
        "/oauth/introspect/",
        "/oauth/device-authorization",
        "/oauth/userinfo",
        "/oauth/userinfo/",
        "/oauth/authorized_tokens/",
        "/o/token/",
        "/.well-known/openid-configuration",
    ],
)
def test_nothing_else_of_the_library_is_mounted(db, route):
    assert Api().get(route).status_code == 404


def test_floods_are_limited(settings, flow):
    settings.THROTTLES = {**settings.THROTTLES, "token": "2/6000"}
    address = factories.address()

    answers = [post_form("/oauth/token", {"grant_type": "x"}, REMOTE_ADDR=address) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [400, 400, 429]
    assert int(answers[-1]["Retry-After"]) > 0


@pytest.mark.asvs("16.3.1", "16.3.3")
def test_refusals_are_audited(flow):
    flow.exchange("nonsense")

    assert AuditEvent.objects.filter(event=Event.TOKEN_REFUSED).count() == 1


# --- confidential clients ---


@pytest.fixture
def secret():
    return secrets.token_urlsafe(48)


@pytest.fixture
def service(acme, auditor, secret):
    return factories.service_client(acme, auditor, secret=secret, scopes=["audit:read"])


def credentials_grant(**changes):
    return {"grant_type": "client_credentials", "scope": "audit:read", **changes}


def test_a_service_client_gets_a_token_without_refresh(service, secret, acme):
    response = post_form("/oauth/token", credentials_grant(), **basic(service.client_id, secret))

    body = response.json()
    assert response.status_code == 200
    assert set(body) == {"access_token", "expires_in", "token_type", "scope"}
    token = AccessToken.objects.get()
    assert (token.organisation, token.user) == (acme, None)


def test_the_secret_may_be_in_the_body(service, secret):
    form = credentials_grant(client_id=service.client_id, client_secret=secret)

    assert post_form("/oauth/token", form).status_code == 200


def test_an_unknown_client_costs_what_a_known_one_does(service, monkeypatch):
    seen = []
    for client_id in (service.client_id, "nobody"):
        monkeypatch.setattr(audit, "windows", audit.RepeatWindows())  # the second is no repeat
        with CaptureQueriesContext(connection) as queries:
            response = post_form("/oauth/token", credentials_grant(), **basic(client_id, "wrong"))
        seen.append((response.status_code, response.content, len(queries)))

    assert seen[0] == seen[1]


def test_two_client_authentications_at_once_are_refused(service, secret):
    form = credentials_grant(client_id=service.client_id, client_secret=secret)

    assert_refused(post_form("/oauth/token", form, **basic(service.client_id, secret)), "invalid_request")


@pytest.mark.parametrize("route", ["token", "revoke", "introspect", "par"])
def test_another_client_id_beside_the_credentials_is_refused(service, secret, route):
    form = credentials_grant(client_id=factories.public_client().client_id, token="some")

    response = post_form(f"/oauth/{route}", form, **basic(service.client_id, secret))

    assert response.status_code == 401
    assert response.json() == {"error": "invalid_client"}


@pytest.mark.parametrize("scheme", ["basic", "BASIC"])
def test_the_scheme_is_taken_whatever_its_case(service, secret, scheme):
    header = basic(service.client_id, secret)["HTTP_AUTHORIZATION"].replace("Basic", scheme)
    form = credentials_grant(client_id=service.client_id)

    assert post_form("/oauth/token", form, HTTP_AUTHORIZATION=header).status_code == 200
    form |= {"client_secret": secret}
    assert_refused(post_form("/oauth/token", form, HTTP_AUTHORIZATION=header), "invalid_request")


@pytest.mark.parametrize(
    "header",
    [
        lambda client, secret: basic(client.client_id, "wrong"),
        lambda client, secret: basic(client.client_id, ""),
        lambda client, secret: basic("nobody", secret),
        lambda client, secret: basic("a\x00b", secret),
        lambda client, secret: {"HTTP_AUTHORIZATION": "Basic !!!"},
        lambda client, secret: {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(b"\xff\xfe:x").decode()},
        lambda client, secret: {"HTTP_AUTHORIZATION": f"Bearer {secret}"},
        lambda client, secret: {},
    ],
)
def test_a_bad_secret_is_401_with_the_clients_challenge(service, secret, header):
    response = post_form("/oauth/token", credentials_grant(), **header(service, secret))

    assert_refused(response, "invalid_client", 401)
    assert response["WWW-Authenticate"] == 'Basic realm="oauth"'


@pytest.mark.asvs("10.4.11")
def test_a_scope_outside_the_clients_list_is_refused(service, secret):
    response = post_form(
        "/oauth/token", credentials_grant(scope="account:read"), **basic(service.client_id, secret)
    )

    assert_refused(response, "invalid_scope")


@pytest.mark.parametrize("scope", ["", None])
def test_no_scope_is_not_every_scope(service, secret, scope):
    form = credentials_grant(scope=scope)
    form = {name: value for name, value in form.items() if value is not None}

    assert_refused(post_form("/oauth/token", form, **basic(service.client_id, secret)), "invalid_scope")


def test_a_service_client_whose_person_left_can_do_nothing(service, secret, auditor):
    token = post_form("/oauth/token", credentials_grant(), **basic(service.client_id, secret)).json()[
        "access_token"
    ]
    leave(auditor, "left")

    assert Api(token).get("/v1/audit-events").status_code == 401


@pytest.mark.asvs("10.4.4")
def test_a_public_client_has_no_client_credentials(flow):
    response = post_form("/oauth/token", credentials_grant(client_id=flow.client.client_id))

    assert response.status_code in {400, 401}
    assert not AccessToken.objects.exists()


def test_a_confidential_client_cannot_redeem_a_code_without_its_secret(auditor, secret):
    client = factories.public_client(
        client_type="confidential", token_endpoint_auth_method="client_secret_basic", client_secret=secret
    )
    page = Page()
    page.sign_in(auditor)
    flow = Flow(page, client, SCOPE)

    assert_refused(flow.exchange(flow.code()), "invalid_client", 401)
    response = flow.exchange(flow.code(), client_secret=secret)
    assert response.status_code == 200


@pytest.mark.asvs("10.4.10")
@pytest.mark.parametrize("endpoint", ["token", "revoke", "introspect", "par"])
def test_a_confidential_client_does_nothing_without_its_secret(auditor, acme, secret, endpoint):
    client = factories.public_client(
        client_type="confidential", token_endpoint_auth_method="client_secret_basic", client_secret=secret
    )
    token = factories.token(auditor, acme, client=client)
    form = {
        "client_id": client.client_id,
        "token": token,
        "grant_type": "refresh_token",
        "refresh_token": "x",
    }

    for headers in ({}, basic(client.client_id, ""), basic(client.client_id, "wrong")):
        assert_refused(post_form(f"/oauth/{endpoint}", form, **headers), "invalid_client", 401)

    assert works(token)
    assert post_form(f"/oauth/{endpoint}", form, **basic(client.client_id, secret)).status_code != 401


# --- refresh ---


@pytest.fixture
def tokens(flow):
    return flow.exchange(flow.code()).json()


def test_a_refresh_rotates_and_ends_the_old_pair(flow, tokens):
    fresh = refresh(flow.client, tokens["refresh_token"]).json()

    assert fresh["refresh_token"] != tokens["refresh_token"]
    assert works(fresh["access_token"])
    assert not works(tokens["access_token"])


@pytest.mark.asvs("10.4.5")
def test_reuse_ends_the_family(flow, tokens):
    fresh = refresh(flow.client, tokens["refresh_token"]).json()

    assert_refused(refresh(flow.client, tokens["refresh_token"]), "invalid_grant")

    assert not works(fresh["access_token"])
    assert_refused(refresh(flow.client, fresh["refresh_token"]), "invalid_grant")


def test_a_refresh_cannot_widen_the_scope(flow, auditor):
    narrow = Flow(flow.page, flow.client, "account:read")
    tokens = narrow.exchange(narrow.code()).json()

    assert_refused(refresh(flow.client, tokens["refresh_token"], scope=SCOPE), "invalid_scope")


def test_what_is_taken_off_the_clients_list_is_not_refreshed(flow, tokens):
    flow.client.scopes = ["account:read"]
    flow.client.save()

    assert_refused(refresh(flow.client, tokens["refresh_token"], scope=SCOPE), "invalid_scope")
    fresh = refresh(flow.client, tokens["refresh_token"]).json()

    assert fresh["scope"] == "account:read"
    assert AccessToken.objects.get().scope == "account:read"


def test_a_client_without_any_scope_left_gets_no_token(flow, tokens):
    code = flow.code()
    flow.client.scopes = ["vendors:read"]
    flow.client.save()

    assert_refused(refresh(flow.client, tokens["refresh_token"]), "invalid_scope")
    assert_refused(flow.exchange(code), "invalid_grant")


def test_what_is_taken_off_the_clients_list_is_not_in_a_codes_token(flow):
    code = flow.code()
    flow.client.scopes = ["account:read"]
    flow.client.save()

    assert flow.exchange(code).json()["scope"] == "account:read"


@pytest.mark.parametrize("encoding", ["hex", "no-such", "utf-16"])
def test_the_caller_does_not_choose_how_credentials_are_read(service, secret, encoding):
    form = {"grant_type": "client_credentials", "scope": "audit:read", "encoding": encoding}

    assert post_form("/oauth/token", form, **basic(service.client_id, secret)).status_code == 200
    assert_refused(post_form("/oauth/token", form, **basic("nobody", "x")), "invalid_client", 401)


@pytest.mark.parametrize(
    "name",
    [
        "refresh_token_instance",
        "grant",
        "client",
        "user",
        "scopes",
        "resources",
        "extra_credentials",
        "headers",
    ],
)
def test_a_parameter_with_the_name_of_the_librarys_own_is_ignored(flow, auditor, name):
    form = {name: "x", "client_id": flow.client.client_id}
    code = {"grant_type": "authorization_code", "code": flow.code(), "code_verifier": flow.verifier}
    tokens = post_form("/oauth/token", {**form, **code, "redirect_uri": factories.CALLBACK}).json()
    again = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    fresh = post_form("/oauth/token", {**form, **again}).json()

    assert AccessToken.objects.get().user == auditor
    assert works(fresh["access_token"])


@pytest.mark.asvs("10.4.8")
def test_a_family_ends_however_often_it_is_refreshed(flow, tokens):
    RefreshToken.objects.update(family_expires_at=timezone.now() - timedelta(seconds=1))

    assert_refused(refresh(flow.client, tokens["refresh_token"]), "invalid_grant")
    assert not works(tokens["access_token"])


def test_the_familys_end_and_the_organisation_do_not_move(flow, tokens, acme):
    (before,) = RefreshToken.objects.all()

    refresh(flow.client, tokens["refresh_token"])

    after = RefreshToken.objects.get(revoked=None)
    assert after.family_expires_at == before.family_expires_at
    assert after.organisation == acme
    assert after.auth_time == before.auth_time
    assert after.auth_time is not None


@pytest.mark.parametrize("change", ["inactive", "left"])
def test_somebody_who_left_can_neither_call_nor_refresh(flow, tokens, auditor, change):
    leave(auditor, change)

    assert not works(tokens["access_token"])
    assert_refused(refresh(flow.client, tokens["refresh_token"]), "invalid_grant")


def test_another_client_cannot_refresh(flow, tokens):
    assert_refused(refresh(factories.public_client(), tokens["refresh_token"]), "invalid_grant")
    assert works(tokens["access_token"])


def test_a_refresh_token_that_nobody_uses_for_a_day_is_over(flow, tokens):
    day = timedelta(seconds=86_400)
    form = {"grant_type": "refresh_token", "client_id": flow.client.client_id}
    AccessToken.objects.update(expires=timezone.now() - day + timedelta(minutes=1))
    fresh = post_form("/oauth/token", {**form, "refresh_token": tokens["refresh_token"]}).json()
    AccessToken.objects.update(expires=timezone.now() - day)

    assert_refused(
        post_form("/oauth/token", {**form, "refresh_token": fresh["refresh_token"]}), "invalid_grant"
    )


# --- revocation ---


def revoke(client, token, **changes):
    return post_form("/oauth/revoke", {"client_id": client.client_id, "token": token, **changes})


@pytest.mark.asvs("7.4.1")
def test_a_revoked_access_token_is_dead_at_once(flow, tokens):
    assert revoke(flow.client, tokens["access_token"]).status_code == 200

    assert not works(tokens["access_token"])
    assert AuditEvent.objects.filter(event=Event.TOKEN_REVOKED).count() == 1


def test_a_revoked_refresh_token_takes_its_access_token_along(flow, tokens):
    assert revoke(flow.client, tokens["refresh_token"], token_type_hint="refresh_token").status_code == 200

    assert not works(tokens["access_token"])
    assert_refused(refresh(flow.client, tokens["refresh_token"]), "invalid_grant")


def test_a_spent_refresh_token_ends_what_came_from_it(flow, tokens):
    """It may be all that a client has: one whose other tab has refreshed meanwhile signs out."""
    form = {"grant_type": "refresh_token", "client_id": flow.client.client_id}
    later = post_form("/oauth/token", {**form, "refresh_token": tokens["refresh_token"]}).json()

    assert revoke(flow.client, tokens["refresh_token"]).status_code == 200

    assert Api(later["access_token"]).get("/v1/me").status_code == 401
    assert_refused(
        post_form("/oauth/token", {**form, "refresh_token": later["refresh_token"]}), "invalid_grant"
    )
    revoke(flow.client, tokens["refresh_token"])
    assert AuditEvent.objects.filter(event=Event.TOKEN_REVOKED).count() == 1  # nothing was left to end


def test_another_client_cannot_revoke(flow, tokens):
    revoke(factories.public_client(), tokens["access_token"])

    assert works(tokens["access_token"])


def test_an_unknown_token_is_no_error(flow):
    assert revoke(flow.client, "nonsense").status_code == 200


# --- in parallel ---


def at_once(number, call):
    """``call`` from ``number`` threads, started together; their answers."""
    barrier, answers = threading.Barrier(number), []

    def run():
        barrier.wait()
        try:
            answers.append(call())
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.django_db(transaction=True)
def test_of_parallel_redemptions_one_wins_and_leaves_no_stray_token(flow):
    code = flow.code()

    answers = at_once(6, lambda: flow.exchange(code))

    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 5
    # The replays ended the family: whoever got the code twice is not to be trusted.
    winner = next(answer for answer in answers if answer.status_code == 200).json()
    assert not works(winner["access_token"])
    assert AccessToken.objects.count() == 0
    assert RefreshToken.objects.filter(revoked=None).count() == 0


@pytest.mark.django_db(transaction=True)
def test_of_parallel_refreshes_one_wins_and_the_rest_are_replays(flow):
    tokens = flow.exchange(flow.code()).json()

    answers = at_once(6, lambda: refresh(flow.client, tokens["refresh_token"]))

    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 5
    assert {answer.json()["error"] for answer in answers if answer.status_code == 400} == {"invalid_grant"}
    assert AccessToken.objects.count() == 0
    assert RefreshToken.objects.filter(revoked=None).count() == 0
