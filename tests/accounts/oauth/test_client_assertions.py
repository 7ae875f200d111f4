"""private_key_jwt: clients that authenticate with a signature, RFC 7523. And the profile that requires it."""

import hmac
import http.server
import json
import secrets
import ssl
import threading
import time

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from accounts.oauth import client_assertions
from accounts.oauth.client_assertions import RemoteKeys
from accounts.oauth.models import AccessToken
from deploy.local import certificates
from security.outbound import OutboundClient
from tests import factories
from tests.clients import Api, Flow, Page, answer, basic, post_form
from tests.proofs import Key, b64, parts, unsigned

pytestmark = pytest.mark.django_db

SCOPE = "account:read audit:read"
TOKEN = "/oauth/token"


@pytest.fixture
def key():
    return Key()


@pytest.fixture
def service(acme, auditor, key):
    return factories.service_client(
        acme,
        auditor,
        secret="",
        token_endpoint_auth_method="private_key_jwt",
        client_jwks=key.jwks,
        scopes=["audit:read"],
    )


def ask(fields, **headers):
    return post_form(TOKEN, {"grant_type": "client_credentials", "scope": "audit:read", **fields}, **headers)


def assert_refused(response, error="invalid_client", status=401):
    assert response.status_code == status, response.content
    assert response.json()["error"] == error
    assert not AccessToken.objects.exists()


@pytest.mark.parametrize("alg", ["ES256", "PS256", "EdDSA"])
def test_a_signature_by_the_registered_key_is_enough(acme, auditor, alg):
    key = Key(alg)
    client = factories.service_client(
        acme, auditor, secret="", token_endpoint_auth_method="private_key_jwt", client_jwks=key.jwks
    )

    assert ask(key.assertion(client.client_id)).status_code == 200
    assert ask({**key.assertion(client.client_id), "client_id": client.client_id}).status_code == 200


@pytest.mark.asvs("9.2.1", "9.1.3")
@pytest.mark.parametrize(
    "change",
    [
        {"iss": "somebody"},
        {"sub": "somebody"},
        {"sub": "a\x00b"},
        {"sub": None},
        {"iss": None},
        {"aud": "https://other.example"},
        {"aud": "https://localhost:8443/oauth/token"},
        {"aud": "https://localhost:8443/"},
        {"aud": ["https://localhost:8443", "https://other.example"]},
        {"aud": []},
        {"aud": None},
        {"jti": None},
        {"jti": "x" * 257},
        {"exp": None},
        {"exp": int(time.time()) - 5},
        {"exp": int(time.time()) + 3600},
        {"exp": "tomorrow"},
        {"iat": int(time.time()) + 3600},
        {"nbf": int(time.time()) + 3600},
        {"header": {"typ": "dpop+jwt"}},
        {"header": {"kid": "another"}},
        {"header": {"kid": 7}},
    ],
)
def test_an_assertion_that_does_not_fit_is_refused(service, key, change):
    assert_refused(ask(key.assertion(service.client_id, **change)))

    assert ask(key.assertion(service.client_id)).status_code == 200


def test_the_issuer_may_stand_alone_in_a_list(service, key, settings):
    assert ask(key.assertion(service.client_id, aud=[settings.PUBLIC_URL])).status_code == 200


def test_another_key_is_refused(service, key):
    assert_refused(ask(Key(kid=key.kid).assertion(service.client_id)))


@pytest.mark.asvs("9.1.3")
def test_the_key_in_the_header_is_ignored(service, key):
    thief = Key(kid=key.kid)

    assert_refused(ask(thief.assertion(service.client_id, header={"jwk": thief.public})))


@pytest.mark.asvs("10.4.16")
def test_it_works_once(service, key):
    fields = key.assertion(service.client_id)
    assert ask(fields).status_code == 200
    AccessToken.objects.all().delete()

    assert_refused(ask(fields))


def test_without_valkey_it_is_503(service, key, settings):
    settings.VALKEY_URL = "redis://127.0.0.1:1/0"

    response = ask(key.assertion(service.client_id))

    assert response.status_code == 503
    assert not AccessToken.objects.exists()


@pytest.mark.asvs("9.1.2")
def test_alg_none_is_refused(service, key):
    header, claims = parts(key.assertion(service.client_id)["client_assertion"])
    for alg in ("none", "NONE", ""):
        fields = {
            **key.assertion(service.client_id),
            "client_assertion": unsigned({**header, "alg": alg}, claims),
        }
        assert_refused(ask(fields))


@pytest.mark.asvs("9.1.2")
def test_the_public_key_is_no_hmac_secret(acme, auditor):
    key = Key("PS256")
    client = factories.service_client(
        acme, auditor, secret="", token_endpoint_auth_method="private_key_jwt", client_jwks=key.jwks
    )
    fields = key.assertion(client.client_id)
    header, claims = parts(fields["client_assertion"])
    text = unsigned({**header, "alg": "HS256"}, claims).rsplit(".", 1)[0]
    for secret in (key.jwk.export_to_pem(), json.dumps(key.public).encode()):
        forged = f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}"
        assert_refused(ask({**fields, "client_assertion": forged}))


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "e30.e30.e30", "x" * 9000, "é.é.é"])
def test_what_is_no_jwt_is_refused(service, key, text):
    assert_refused(ask({**key.assertion(service.client_id), "client_assertion": text}))


@pytest.mark.parametrize("kind", ["", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"])
def test_another_kind_of_assertion_is_refused(service, key, kind):
    assert_refused(ask({**key.assertion(service.client_id), "client_assertion_type": kind}))


def test_two_authentications_at_once_are_refused(service, key):
    fields = key.assertion(service.client_id)

    assert_refused(ask({**fields, "client_secret": "x"}), "invalid_request", 400)
    assert_refused(ask(fields, **basic(service.client_id, "x")), "invalid_request", 400)


def test_a_client_with_keys_has_no_secret(service):
    assert_refused(ask({"client_id": service.client_id, "client_secret": ""}))
    assert_refused(ask({}, **basic(service.client_id, "x")))
    assert_refused(ask({"client_id": service.client_id}))


def test_a_client_with_a_secret_has_no_assertion(acme, auditor, key):
    client = factories.service_client(acme, auditor, secret=secrets.token_urlsafe(48))

    assert_refused(ask(key.assertion(client.client_id)))


def test_another_clients_assertion_is_not_this_clients(service, key, acme, auditor):
    other = Key()
    client = factories.service_client(
        acme, auditor, secret="", token_endpoint_auth_method="private_key_jwt", client_jwks=other.jwks
    )

    assert_refused(ask({**other.assertion(client.client_id), "client_id": service.client_id}))


@pytest.mark.parametrize(
    "jwks",
    [
        {"keys": []},
        {"keys": ["x"]},
        {"keys": [{"kty": "oct", "k": "AAAA"}]},
        {"keys": [Key().jwk.export(as_dict=True)]},
        {"keys": [Key("RS256", kty="RSA", size=1024).public]},
    ],
)
def test_a_key_set_that_cannot_verify_is_not_taken(service, jwks):
    service.client_jwks = jwks
    with pytest.raises(ValidationError):
        service.full_clean()


# --- keys by address ---


@pytest.fixture
def keys_at(tmp_path, monkeypatch):
    """A JWK set served over HTTPS, and how often it was asked for. The test permits loopback."""
    certificates.ensure(tmp_path)
    served = {"body": b"", "asked": 0}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            served["asked"] += 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(served["body"])))
            self.end_headers()
            self.wfile.write(served["body"])

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    served["url"] = f"https://localhost:{port}/jwks.json"
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    client = OutboundClient(permits=lambda address: True, ports=frozenset({port}), context=trusting)
    monkeypatch.setattr(RemoteKeys, "client", client)
    monkeypatch.setattr(client_assertions, "remote_keys", RemoteKeys())
    yield served
    server.shutdown()
    server.server_close()


@pytest.fixture
def remote(acme, auditor, keys_at):
    return factories.service_client(
        acme, auditor, secret="", token_endpoint_auth_method="private_key_jwt", client_jwks_uri=keys_at["url"]
    )


def test_keys_can_be_fetched_and_are_kept(remote, key, keys_at):
    keys_at["body"] = json.dumps(key.jwks).encode()

    for _ in range(3):
        assert ask(key.assertion(remote.client_id)).status_code == 200
    assert keys_at["asked"] == 1


def test_a_new_key_is_looked_for_but_not_at_every_call(remote, key, keys_at, monkeypatch):
    keys_at["body"] = json.dumps(key.jwks).encode()
    assert ask(key.assertion(remote.client_id)).status_code == 200
    AccessToken.objects.all().delete()
    new = Key()
    keys_at["body"] = json.dumps(new.jwks).encode()

    for _ in range(3):
        assert_refused(ask(new.assertion(remote.client_id)))
    assert keys_at["asked"] == 1
    clock = time.monotonic
    monkeypatch.setattr(
        RemoteKeys, "clock", staticmethod(lambda: clock() + client_assertions.RETRY_SECONDS + 1)
    )
    assert ask(new.assertion(remote.client_id)).status_code == 200
    assert keys_at["asked"] == 2


@pytest.mark.parametrize("body", [b"", b"[]", b'{"keys": {}}', b"x" * 100_000, b'{"keys": [1]}'])
def test_what_is_no_key_set_is_refused(remote, key, keys_at, body):
    keys_at["body"] = body

    assert_refused(ask(key.assertion(remote.client_id)))


def test_an_address_inside_is_never_called(acme, auditor, key, keys_at, monkeypatch):
    monkeypatch.setattr(RemoteKeys, "client", OutboundClient())
    client = factories.service_client(
        acme, auditor, secret="", token_endpoint_auth_method="private_key_jwt", client_jwks_uri=keys_at["url"]
    )
    keys_at["body"] = json.dumps(key.jwks).encode()

    assert_refused(ask(key.assertion(client.client_id)))
    assert keys_at["asked"] == 0


# --- FAPI 2.0 ---


def fapi(key, **fields):
    return factories.public_client(
        **{
            "client_type": "confidential",
            "token_endpoint_auth_method": "private_key_jwt",
            "client_jwks": key.jwks,
            "profile": "fapi2",
            "require_pushed_authorization_requests": True,
            **fields,
        }
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"require_pushed_authorization_requests": False},
        {"token_endpoint_auth_method": "client_secret_basic", "client_secret": "x" * 43},
        {"token_endpoint_auth_method": "none", "client_type": "public"},
        {"client_jwks": None},
        {"client_jwks_uri": "https://client.example/jwks.json"},
        {"client_secret": "x" * 43},
    ],
)
def test_half_a_fapi_client_cannot_exist(db, key, fields):
    with pytest.raises(IntegrityError):
        fapi(key, **fields)


def test_a_fapi_client_goes_the_whole_way(auditor, key):
    client, proof = fapi(key), Key()
    page = Page()
    page.sign_in(auditor)
    flow = Flow(page, client, SCOPE)

    assert flow.push(**key.assertion(client.client_id)).status_code == 201
    code = answer(flow.decide())["code"]
    tokens = flow.exchange(code, proof.at_token_endpoint(), **key.assertion(client.client_id)).json()

    headers = proof.headers("GET", "/v1/me", tokens["access_token"])
    assert Api().get("/v1/me", **headers).status_code == 200
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    fresh = post_form(TOKEN, {**form, **key.assertion(client.client_id)}, **proof.at_token_endpoint())
    assert fresh.json()["token_type"] == "DPoP"


@pytest.mark.asvs("10.4.16", "10.4.13")
def test_a_fapi_client_is_refused_everything_else(auditor, key):
    client = fapi(key)
    page = Page()
    page.sign_in(auditor)
    flow = Flow(page, client, SCOPE)

    assert answer(page.get(flow.path))["error"] == "invalid_request"
    assert flow.push().status_code == 401
    assert flow.push(**key.assertion(client.client_id)).status_code == 201
    code = answer(flow.decide())["code"]
    assert_refused(flow.exchange(code, **key.assertion(client.client_id)), "invalid_dpop_proof", 400)
    assert_refused(flow.exchange(code, Key().at_token_endpoint()))
    assert_refused(flow.exchange(code, Key().at_token_endpoint(), client_secret="x"))
