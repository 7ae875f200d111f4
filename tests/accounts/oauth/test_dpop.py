"""DPoP: at the token endpoint, and with the API. Each refusal leaves the good proof beside it working."""

import hashlib
import hmac
import secrets
import time
from datetime import UTC, datetime, timedelta

import pytest
from jwcrypto.jwk import JWK

from accounts.oauth import dpop
from accounts.oauth.models import AccessToken, Grant, RefreshToken
from security import throttling
from tests import factories
from tests.clients import CHALLENGES, Api, Flow, Page, basic, post_form
from tests.proofs import Key, b64, parts, unsigned

pytestmark = pytest.mark.django_db

SCOPE = "account:read audit:read"
ACCOUNT = "/v1/me"


@pytest.fixture
def key():
    return Key()


@pytest.fixture
def client(db):
    return factories.public_client()


@pytest.fixture
def flow(auditor, client):
    page = Page()
    page.sign_in(auditor)
    return Flow(page, client, SCOPE)


@pytest.fixture
def token(acme, auditor, key):
    return factories.token(auditor, acme, cnf_jkt=key.jkt)


def call(token, key, method="GET", path=ACCOUNT, **changes):
    return Api().generic(method, path, **key.headers(method, path, token, **changes))


def refresh(client, token, key=None, **changes):
    form = {"grant_type": "refresh_token", "client_id": client.client_id, "refresh_token": token, **changes}
    return post_form("/oauth/token", form, **(key.at_token_endpoint() if key else {}))


# --- the token endpoint ---


@pytest.mark.asvs("10.4.14")
@pytest.mark.parametrize("alg", ["ES256", "PS256", "EdDSA"])
def test_a_token_asked_for_with_a_proof_is_bound_to_its_key(flow, alg):
    key = Key(alg)

    response = flow.exchange(flow.code(), key.at_token_endpoint())

    body = response.json()
    assert response.status_code == 200
    assert body["token_type"] == "DPoP"
    assert AccessToken.objects.get().cnf_jkt == key.jkt
    assert call(body["access_token"], key).status_code == 200
    assert Api(body["access_token"]).get(ACCOUNT).status_code == 401


def test_the_nonce_is_asked_for_and_given(flow, key):
    code = flow.code()
    without = flow.exchange(code, key.at_token_endpoint(nonce=None))

    assert without.status_code == 400
    assert without.json() == {"error": "use_dpop_nonce"}
    nonce = without["DPoP-Nonce"]
    answer = flow.exchange(code, key.at_token_endpoint(nonce=nonce))
    assert answer.status_code == 200
    assert answer["DPoP-Nonce"] != nonce


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/par"])
def test_every_answer_where_a_client_begins_brings_a_nonce(db, path):
    response = post_form(path, {"grant_type": "x"})

    assert response.status_code in {400, 401}
    assert dpop.is_nonce(response["DPoP-Nonce"], int(time.time()))


@pytest.mark.parametrize(
    "change",
    [
        {"htm": "GET"},
        {"htm": "post"},
        {"htm": None},
        {"htu": "https://localhost:8443/oauth/revoke"},
        {"htu": "https://evil.example/oauth/token"},
        {"htu": "http://localhost:8443/oauth/token"},
        {"htu": "https://localhost/oauth/token"},
        {"htu": "https://a@localhost:8443/oauth/token"},
        {"htu": "https://localhost:x/oauth/token"},
        {"htu": None},
        {"htu": 7},
        {"jti": None},
        {"jti": ""},
        {"jti": "x" * 257},
        {"jti": 7},
        {"iat": None},
        {"iat": "now"},
        {"iat": True},
        {"iat": int(time.time()) - 120},
        {"iat": int(time.time()) + 3600},
        {"iat": 10**30},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": None}},
        {"header": {"jwk": None}},
        {"header": {"jwk": "x"}},
        {"header": {"crit": ["b64"], "b64": True}},
    ],
)
def test_a_proof_that_does_not_fit_is_refused(flow, key, change):
    code = flow.code()

    response = flow.exchange(code, key.at_token_endpoint(**change))

    assert response.status_code == 400
    assert response.json()["error"] == "invalid_dpop_proof"
    assert not AccessToken.objects.exists()
    assert flow.exchange(code, key.at_token_endpoint()).status_code == 200


def refused(flow, proof):
    response = flow.exchange(flow.code(), {"HTTP_DPOP": proof})
    assert response.status_code == 400, response.content
    assert response.json()["error"] == "invalid_dpop_proof"
    assert not AccessToken.objects.exists()


def test_alg_none_is_no_proof(flow, key):
    header, claims = parts(key.proof("POST", "/oauth/token"))

    refused(flow, unsigned({**header, "alg": "none"}, claims))
    refused(flow, unsigned({**header, "alg": "None"}, claims))


def test_a_public_key_is_no_hmac_secret(flow, key):
    header, claims = parts(key.proof("POST", "/oauth/token"))
    header["alg"] = "HS256"
    text = unsigned(header, claims).rsplit(".", 1)[0]
    for secret in (key.jwk.export_public().encode(), key.jwk.export_to_pem()):
        refused(flow, f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}")


def test_a_symmetric_key_in_the_header_is_no_key(flow):
    secret = JWK.generate(kty="oct", size=256)
    header, claims = parts(Key().proof("POST", "/oauth/token"))

    for alg in ("HS256", "ES256"):
        text = unsigned({**header, "alg": alg, "jwk": secret.export(as_dict=True)}, claims).rsplit(".", 1)[0]
        raw = b64(hmac.digest(secrets.token_bytes(32), text.encode(), "sha256"))
        refused(flow, f"{text}.{raw}")


@pytest.mark.parametrize("alg", ["RS256", "ES384", "PS512", "ES256K"])
def test_other_algorithms_are_no_proof(flow, alg):
    kind = {
        "RS256": {"kty": "RSA", "size": 2048},
        "PS512": {"kty": "RSA", "size": 2048},
        "ES384": {"kty": "EC", "crv": "P-384"},
        "ES256K": {"kty": "EC", "crv": "secp256k1"},
    }[alg]

    refused(flow, Key(alg, **kind).proof("POST", "/oauth/token"))


def test_a_weak_rsa_key_is_no_key(flow):
    refused(flow, Key("PS256", kty="RSA", size=1024).proof("POST", "/oauth/token"))


def test_a_private_key_in_the_header_is_refused(flow, key):
    refused(flow, key.proof("POST", "/oauth/token", header={"jwk": key.jwk.export(as_dict=True)}))


def test_another_key_than_the_headers_is_refused(flow, key):
    refused(flow, key.proof("POST", "/oauth/token", header={"jwk": Key().public}))


def test_a_point_that_is_not_on_the_curve_is_no_key(flow, key):
    refused(flow, key.proof("POST", "/oauth/token", header={"jwk": {**key.public, "y": key.public["x"]}}))


@pytest.mark.parametrize(
    "text", ["", "x", "a.b.c", "..", "x" * 5000, "a.b.c.d", "e30.e30.e30", "bnVsbA.bnVsbA.x", "\x00"]
)
def test_what_is_no_jwt_is_no_proof(flow, text):
    refused(flow, text)


def test_two_proofs_are_none(flow, key):
    refused(flow, f"{key.proof('POST', '/oauth/token')}, {key.proof('POST', '/oauth/token')}")


def test_a_proof_with_one_name_twice_is_none(flow, key):
    header, _, signature = key.proof("POST", "/oauth/token").split(".")
    doubled = b64(b'{"htm":"POST","htm":"POST"}')

    refused(flow, f"{header}.{doubled}.{signature}")


def test_a_proof_works_once(flow, key):
    headers = key.at_token_endpoint()
    assert flow.exchange(flow.code(), headers).status_code == 200

    response = flow.exchange(flow.code(), headers)

    assert response.status_code == 400
    assert response.json()["error"] == "invalid_dpop_proof"


def test_without_valkey_a_proof_is_503(flow, key, settings):
    code = flow.code()
    settings.VALKEY_URL = "redis://127.0.0.1:1/0"

    response = flow.exchange(code, key.at_token_endpoint())

    assert response.status_code == 503
    assert "Retry-After" in response
    assert not AccessToken.objects.exists()


def test_a_nonce_is_good_for_its_time_and_no_other(key):
    nonce = dpop.new_nonce()
    now = int(time.time())

    assert dpop.is_nonce(nonce, now)
    assert dpop.is_nonce(nonce, now + dpop.NONCE_SECONDS - 1)
    assert not dpop.is_nonce(nonce, now + dpop.NONCE_SECONDS + 2)
    assert not dpop.is_nonce(nonce, now - 60)


@pytest.mark.parametrize("text", ["", "x", "é", "A" * 36, "A" * 4000, "====", b64(b"x" * 27), b64(b"x" * 5)])
def test_what_is_not_ours_is_no_nonce(text):
    assert not dpop.is_nonce(text, int(time.time()))


def test_a_nonce_outlives_the_rotation_of_its_key(settings):
    old, new = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    now = int(time.time())
    settings.SIGNING_KEYS = [old]
    nonce = dpop.new_nonce()

    settings.SIGNING_KEYS = [new, old]
    assert dpop.is_nonce(nonce, now)
    fresh = dpop.new_nonce()
    settings.SIGNING_KEYS = [new]
    assert not dpop.is_nonce(nonce, now)
    assert dpop.is_nonce(fresh, now)


# --- codes and refresh tokens ---


def test_a_code_can_be_bound_to_a_key(flow, key):
    bound = Flow(flow.page, flow.client, SCOPE, dpop_jkt=key.jkt)
    code = bound.code()
    assert Grant.objects.get().dpop_jkt == key.jkt

    for headers in (None, Key().at_token_endpoint()):
        response = bound.exchange(code, headers)
        assert response.json()["error"] == "invalid_grant"
    assert bound.exchange(code, key.at_token_endpoint()).status_code == 200


def test_a_proof_with_the_pushed_request_binds_the_code(flow, key):
    pushed = Flow(flow.page, flow.client, SCOPE)
    assert pushed.push(key.at_token_endpoint("/oauth/par")).status_code == 201

    code = pushed.code()

    assert pushed.exchange(code).json()["error"] == "invalid_grant"
    assert pushed.exchange(code, key.at_token_endpoint()).status_code == 200


def test_a_pushed_request_with_another_keys_proof_is_refused(flow, key):
    pushed = Flow(flow.page, flow.client, SCOPE, dpop_jkt=Key().jkt)

    response = pushed.push(key.at_token_endpoint("/oauth/par"))

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_a_public_clients_refresh_token_is_useless_without_its_key(flow, client, key):
    tokens = flow.exchange(flow.code(), key.at_token_endpoint()).json()

    for other in (None, Key()):
        response = refresh(client, tokens["refresh_token"], other)
        assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
    # The thief has not ended the owner's session either.
    fresh = refresh(client, tokens["refresh_token"], key).json()
    assert fresh["token_type"] == "DPoP"
    assert RefreshToken.objects.get(revoked=None).cnf_jkt == key.jkt
    assert call(fresh["access_token"], key).status_code == 200


def test_a_confidential_client_may_change_its_key_but_not_drop_it(auditor):
    secret = secrets.token_urlsafe(48)
    client = factories.public_client(
        client_type="confidential", token_endpoint_auth_method="client_secret_basic", client_secret=secret
    )
    page = Page()
    page.sign_in(auditor)
    flow = Flow(page, client, SCOPE)
    first, second = Key(), Key()
    tokens = flow.exchange(flow.code(), first.at_token_endpoint(), client_secret=secret).json()

    dropped = refresh(client, tokens["refresh_token"], client_secret=secret)
    assert dropped.json()["error"] == "invalid_grant"
    fresh = refresh(client, tokens["refresh_token"], second, client_secret=secret).json()
    assert call(fresh["access_token"], second).status_code == 200
    assert call(fresh["access_token"], first).status_code == 401


def test_a_service_clients_token_is_bound_as_well(acme, auditor, key):
    secret = secrets.token_urlsafe(48)
    client = factories.service_client(acme, auditor, secret=secret, scopes=["audit:read"])
    form = {"grant_type": "client_credentials", "scope": "audit:read"}

    body = post_form(
        "/oauth/token", form, **basic(client.client_id, secret), **key.at_token_endpoint()
    ).json()

    assert body["token_type"] == "DPoP"
    assert Api(body["access_token"]).get("/v1/audit-events").status_code == 401


# --- the API ---


def assert_challenged(response, error, status=401):
    assert response.status_code == status, response.content
    assert response["WWW-Authenticate"] == (f'DPoP realm="api", error="{error}", algs="ES256 PS256 EdDSA"')
    assert dpop.is_nonce(response["DPoP-Nonce"], int(dpop.Proof.clock().timestamp()))


def test_the_owner_gets_in_and_a_fresh_nonce(token, key):
    response = call(token, key)

    assert response.status_code == 200
    assert dpop.is_nonce(response["DPoP-Nonce"], int(time.time()))


def test_somebody_without_credentials_is_told_of_both_schemes(db):
    assert Api().get(ACCOUNT)["WWW-Authenticate"] == CHALLENGES


@pytest.mark.asvs("10.3.5")
def test_a_stolen_token_is_useless_as_bearer(token):
    response = Api(token).get(ACCOUNT)

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'


def test_a_stolen_token_is_useless_as_bearer_with_the_owners_proof(token, key):
    headers = {**key.headers("GET", ACCOUNT, token), "HTTP_AUTHORIZATION": f"Bearer {token}"}

    assert Api().get(ACCOUNT, **headers).status_code == 401


@pytest.mark.asvs("10.3.5")
def test_a_stolen_token_is_useless_with_another_keys_proof(token):
    assert_challenged(call(token, Key()), "invalid_dpop_proof")


def test_a_stolen_token_is_useless_with_a_replayed_proof(token, key):
    headers = key.headers("GET", ACCOUNT, token)
    assert Api().get(ACCOUNT, **headers).status_code == 200

    assert_challenged(Api().get(ACCOUNT, **headers), "invalid_dpop_proof")


@pytest.mark.parametrize(
    "change",
    [
        {"iat": int(time.time()) - 120},
        {"iat": int(time.time()) + 3600},
        {"htm": "POST"},
        {"htu": "https://localhost:8443/v1/audit-events"},
        {"htu": "https://other.example/v1/me"},
        {"ath": None},
        {"ath": b64(hashlib.sha256(b"another token").digest())},
        {"jti": None},
    ],
)
def test_a_stolen_token_is_useless_with_a_proof_for_something_else(token, key, change):
    assert_challenged(call(token, key, **change), "invalid_dpop_proof")


def test_a_proof_ages(token, key, monkeypatch):
    proof = key.headers("GET", ACCOUNT, token)
    clock = dpop.Proof.clock
    monkeypatch.setattr(dpop.Proof, "clock", lambda: clock() + timedelta(seconds=dpop.MAX_AGE_SECONDS + 2))

    assert_challenged(Api().get(ACCOUNT, **proof), "invalid_dpop_proof")


@pytest.mark.parametrize("fraction", [0, 0.5, 0.99])
@pytest.mark.parametrize("ahead", [0, dpop.MAX_AHEAD_SECONDS, dpop.MAX_AHEAD_SECONDS + 0.99])
def test_a_proof_is_remembered_until_it_is_too_old(monkeypatch, rf, key, fraction, ahead):
    """However far ahead the client's clock is, and at whatever moment of this one's second it came."""
    first = 1_800_000_000 + fraction

    def at(seconds):
        monkeypatch.setattr(dpop.Proof, "clock", lambda: datetime.fromtimestamp(seconds, UTC))

    at(first)
    proof = key.proof("GET", "/v1/me", iat=1_800_000_000 + ahead)
    request = rf.get("/v1/me", HTTP_DPOP=proof, secure=True)
    once = dpop.Proof.of(request).once

    at(first + once.window)

    with pytest.raises(dpop.InvalidDPoPProof):
        dpop.Proof.of(request)


@pytest.mark.parametrize("nonce", [None, "", "made-up", 7])
def test_a_proof_without_a_nonce_of_ours_is_told_to_use_one(token, key, nonce):
    response = call(token, key, nonce=nonce)

    assert_challenged(response, "use_dpop_nonce")
    assert call(token, key, nonce=response["DPoP-Nonce"]).status_code == 200


def test_without_valkey_a_stolen_token_is_useless_too(token, key, settings):
    bearer = factories.token(None, factories.organisation(), client=factories.public_client())
    settings.VALKEY_URL = "redis://127.0.0.1:1/0"

    response = call(token, key)

    assert response.status_code == 503
    assert "Retry-After" in response
    assert Api(bearer).get(ACCOUNT).status_code == 401  # the rest goes on in the process


def test_after_revocation_the_very_next_request_is_refused(flow, client, key):
    tokens = flow.exchange(flow.code(), key.at_token_endpoint()).json()
    assert call(tokens["access_token"], key).status_code == 200

    post_form("/oauth/revoke", {"client_id": client.client_id, "token": tokens["access_token"]})

    assert_challenged(call(tokens["access_token"], key), "invalid_token")


def test_a_bearer_token_as_dpop_is_no_token(acme, auditor, key):
    assert_challenged(call(factories.token(auditor, acme), key), "invalid_token")


def test_no_proof_is_told(token):
    response = Api().get(ACCOUNT, HTTP_AUTHORIZATION=f"DPoP {token}")

    assert_challenged(response, "invalid_dpop_proof")


@pytest.mark.parametrize(
    "authorization",
    ["Bearer {0}, DPoP {0}", "DPoP {0}, Bearer {0}", "DPoP", "DPoP ", "DPoP {0} x", "Basic {0}"],
)
def test_two_schemes_or_a_malformed_header_is_400(token, key, authorization):
    headers = {**key.headers("GET", ACCOUNT, token), "HTTP_AUTHORIZATION": authorization.format(token)}

    response = Api().get(ACCOUNT, **headers)

    assert response.status_code == 400
    assert 'error="invalid_request"' in response["WWW-Authenticate"]


def test_the_scheme_is_case_insensitive(token, key):
    headers = {**key.headers("GET", ACCOUNT, token), "HTTP_AUTHORIZATION": f"dpop {token}"}

    assert Api().get(ACCOUNT, **headers).status_code == 200


def test_a_missing_scope_is_told_in_dpops_terms(acme, auditor, key):
    token = factories.token(auditor, acme, scopes="account:read", cnf_jkt=key.jkt)

    response = call(token, key, path="/v1/audit-events")

    assert response.status_code == 403
    assert response["WWW-Authenticate"].startswith('DPoP realm="api", error="insufficient_scope"')


def test_the_query_is_not_part_of_the_url(token, key):
    path = "/v1/audit-events"

    response = Api().get(
        f"{path}?limit=1", **key.headers("GET", path, token, htu=f"https://localhost:8443{path}?x#y")
    )

    assert response.status_code == 200


def test_a_replay_is_decided_by_the_one_command_of_the_limits(token, key, monkeypatch):
    from redis.connection import AbstractConnection

    call(token, key)
    sent = []
    send = AbstractConnection.send_command
    monkeypatch.setattr(
        AbstractConnection,
        "send_command",
        lambda self, *args, **kw: (sent.append(args[0]), send(self, *args, **kw)),
    )

    assert call(token, key).status_code == 200
    assert len(sent) == 1


def test_of_parallel_uses_of_a_proof_one_is_the_first(settings):
    once = throttling.Once(f"test:{secrets.token_hex(8)}", 60)

    answers = [throttling.check([], fail_closed=False, once=[once]).replayed for _ in range(3)]

    assert answers == [False, True, True]
