"""The metadata documents say exactly what is on: each value is compared with what the endpoints really do."""

import secrets

import pytest
from django.conf import settings
from django.urls import resolve

from security.policy import walk_routes
from security.scopes import all_scopes
from tests import factories
from tests.clients import Api, Flow, Page, answer, basic, post_form
from tests.proofs import KINDS, Key, b64

pytestmark = pytest.mark.django_db

SERVER = "/.well-known/oauth-authorization-server"
RESOURCE = "/.well-known/oauth-protected-resource"
SCOPE = "account:read"
ALGORITHMS = ["ES256", "PS256", "EdDSA"]
#: What a library or a client might know besides.
OTHER_ALGORITHMS = {
    "RS256": {"kty": "RSA", "size": 2048},
    "PS512": {"kty": "RSA", "size": 2048},
    "ES384": {"kty": "EC", "crv": "P-384"},
}


@pytest.fixture
def document():
    return Api().get(SERVER).json()


@pytest.fixture
def page(auditor):
    page = Page()
    page.sign_in(auditor)
    return page


def path(document, name):
    return document[name].removeprefix(settings.PUBLIC_URL)


def test_there_is_nothing_in_it_that_is_not_tested_here(document):
    assert set(document) == {
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "pushed_authorization_request_endpoint",
        "revocation_endpoint",
        "introspection_endpoint",
        "response_types_supported",
        "response_modes_supported",
        "grant_types_supported",
        "code_challenge_methods_supported",
        "prompt_values_supported",
        "acr_values_supported",
        "token_endpoint_auth_methods_supported",
        "token_endpoint_auth_signing_alg_values_supported",
        "revocation_endpoint_auth_methods_supported",
        "revocation_endpoint_auth_signing_alg_values_supported",
        "introspection_endpoint_auth_methods_supported",
        "introspection_endpoint_auth_signing_alg_values_supported",
        "dpop_signing_alg_values_supported",
        "require_pushed_authorization_requests",
        "authorization_response_iss_parameter_supported",
        "scopes_supported",
        "protected_resources",
        "service_documentation",
    }


def test_the_endpoints_named_are_all_there_are(document):
    named = {path(document, name) for name in document if name.endswith("_endpoint")}
    mounted = {f"/{route}" for route, _ in walk_routes() if route.startswith("oauth/")}

    assert named == mounted
    for each in named:
        assert resolve(each)


@pytest.mark.parametrize("offered", ["code", "token", "id_token", "code token", "none", "code id_token"])
def test_response_types(document, page, offered):
    flow = Flow(page, factories.public_client(), SCOPE, response_type=offered)

    assert (page.get(flow.path).status_code == 200) == (offered in document["response_types_supported"])


@pytest.mark.asvs("10.4.12")
@pytest.mark.parametrize("offered", ["query", "fragment", "form_post", "query.jwt"])
def test_response_modes(document, page, offered):
    flow = Flow(page, factories.public_client(), SCOPE, response_mode=offered)

    assert (page.get(flow.path).status_code == 200) == (offered in document["response_modes_supported"])


@pytest.mark.parametrize(
    "offered",
    [
        "authorization_code",
        "client_credentials",
        "refresh_token",
        "password",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "",
    ],
)
def test_grant_types(document, offered):
    error = post_form("/oauth/token", {"grant_type": offered, "client_id": "nobody"}).json()["error"]

    assert (error != "unsupported_grant_type") == (offered in document["grant_types_supported"])


@pytest.mark.parametrize("offered", ["S256", "plain", "S512"])
def test_code_challenge_methods(document, page, offered):
    flow = Flow(page, factories.public_client(), SCOPE, code_challenge_method=offered)

    assert (page.get(flow.path).status_code == 200) == (
        offered in document["code_challenge_methods_supported"]
    )


@pytest.mark.parametrize("offered", ["none", "login", "consent", "create", "select_account"])
def test_prompts(document, page, offered):
    response = page.get(Flow(page, factories.public_client(), SCOPE, prompt=offered).path)

    refused = response.status_code == 302 and "error=invalid_request" in response["Location"]
    assert refused == (offered not in document["prompt_values_supported"])


@pytest.mark.parametrize("offered", ["aal1", "aal2", "phr", "aal3", "urn:mace:incommon:iap:silver"])
def test_acr_values(document, page, offered):
    response = page.get(Flow(page, factories.public_client(), SCOPE, acr_values=offered).path)

    refused = response.status_code == 302 and "unmet_authentication" in response["Location"]
    assert refused == (offered not in document["acr_values_supported"])


@pytest.mark.parametrize("endpoint", ["token", "revocation", "introspection"])
@pytest.mark.parametrize(
    "method", ["none", "client_secret_basic", "client_secret_post", "private_key_jwt", "client_secret_jwt"]
)
def test_client_authentication(document, endpoint, method):
    secret, key = secrets.token_urlsafe(48), Key()
    registered = {
        "none": {},
        "private_key_jwt": {"token_endpoint_auth_method": "private_key_jwt", "client_jwks": key.jwks},
    }.get(method, {"token_endpoint_auth_method": "client_secret_basic", "client_secret": secret})
    kind = {} if method == "none" else {"client_type": "confidential"}
    client = factories.public_client(**kind, **registered)
    form, headers = {"token": "x", "grant_type": "refresh_token", "refresh_token": "x"}, {}
    if method == "none":
        form |= {"client_id": client.client_id}
    elif method == "client_secret_basic":
        headers = basic(client.client_id, secret)
    elif method == "client_secret_post":
        form |= {"client_id": client.client_id, "client_secret": secret}
    elif method == "private_key_jwt":
        form |= key.assertion(client.client_id)
    else:
        shared = Key("HS256", kty="oct", k=b64(secret.encode()))
        form |= shared.assertion(client.client_id)

    response = post_form(path(document, f"{endpoint}_endpoint"), form, **headers)

    accepted = response.status_code != 401
    assert accepted == (method in document[f"{endpoint}_endpoint_auth_methods_supported"])


@pytest.mark.parametrize("endpoint", ["token", "revocation", "introspection"])
@pytest.mark.parametrize("alg", [*ALGORITHMS, *OTHER_ALGORITHMS])
def test_algorithms_of_assertions(document, endpoint, alg):
    key = Key(alg, **(KINDS | OTHER_ALGORITHMS)[alg])
    client = factories.public_client(
        client_type="confidential", token_endpoint_auth_method="private_key_jwt", client_jwks=key.jwks
    )
    form = {
        "token": "x",
        "grant_type": "refresh_token",
        "refresh_token": "x",
        **key.assertion(client.client_id),
    }

    response = post_form(path(document, f"{endpoint}_endpoint"), form)

    offered = document[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
    assert (response.status_code != 401) == (alg in offered)


@pytest.mark.parametrize("alg", [*ALGORITHMS, *OTHER_ALGORITHMS])
def test_algorithms_of_proofs(document, acme, auditor, alg):
    key = Key(alg, **(KINDS | OTHER_ALGORITHMS)[alg])
    token = factories.token(auditor, acme, cnf_jkt=key.jkt)

    status = Api().get("/v1/me", **key.headers("GET", "/v1/me", token)).status_code

    assert (status == 200) == (alg in document["dpop_signing_alg_values_supported"])
    assert (status == 200) == (alg in Api().get(RESOURCE).json()["dpop_signing_alg_values_supported"])


def test_pushing_is_not_required_of_everybody(document, page):
    assert document["require_pushed_authorization_requests"] is False
    assert page.get(Flow(page, factories.public_client(), SCOPE).path).status_code == 200


def test_the_issuer_is_in_every_authorization_response(document, page):
    assert document["authorization_response_iss_parameter_supported"] is True
    client = factories.public_client()
    given = answer(Flow(page, client, SCOPE).decide())
    denied = answer(Flow(page, client, SCOPE).decide("deny"))
    faulty = answer(page.get(Flow(page, client, "root:all").path))
    for redirect in (given, denied, faulty):
        assert redirect["iss"] == document["issuer"] == settings.PUBLIC_URL


def test_every_scope_can_be_asked_for(document, page):
    assert document["scopes_supported"] == list(all_scopes())
    flow = Flow(page, factories.public_client(), " ".join(document["scopes_supported"]))
    assert page.get(flow.path).status_code == 200


def test_the_resource_and_the_server_name_each_other(document):
    resource = Api().get(RESOURCE).json()

    assert resource == {
        "resource": settings.PUBLIC_URL,
        "authorization_servers": [document["issuer"]],
        "scopes_supported": document["scopes_supported"],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ALGORITHMS,
        "dpop_bound_access_tokens_required": False,
        "resource_documentation": f"{settings.PUBLIC_URL}/docs",
    }
    assert document["protected_resources"] == [resource["resource"]]
    assert document["service_documentation"] == resource["resource_documentation"]


@pytest.mark.parametrize("host", ["evil.example", "testserver"])
@pytest.mark.parametrize("route", [SERVER, RESOURCE])
def test_nothing_reflects_the_host(host, route):
    response = Api().get(route, HTTP_HOST=host, HTTP_X_FORWARDED_HOST="evil.example")

    assert host == "evil.example" or response.status_code == 200
    assert "evil" not in response.content.decode()
    assert "testserver" not in response.content.decode()
