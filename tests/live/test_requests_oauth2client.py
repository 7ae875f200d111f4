"""The served authorization server and an independent client: requests_oauth2client, over HTTPS."""

import pytest
from requests_oauth2client import (
    ClientSecretBasic,
    InvalidGrant,
    OAuth2Client,
    PrivateKeyJwt,
    PublicApp,
)
from requests_oauth2client.exceptions import AuthorizationResponseError, InvalidClient, UnauthorizedClient

from tests.live.person import Person, https_session

SCOPE = "account:read audit:read"
AUDITOR = "auditor@globex.example"


@pytest.fixture
def session(live):
    with https_session(live) as session:
        yield session


@pytest.fixture
def person(live):
    return Person(live, AUDITOR)


@pytest.fixture
def connect(live, session):
    """A client of the library's, set up from the server's metadata."""

    def connect(auth, **options):
        return OAuth2Client.from_discovery_endpoint(
            f"{live.base_url}/.well-known/oauth-authorization-server",
            issuer=live.base_url,
            auth=auth,
            redirect_uri=live.client("demo-web")["redirect_uris"][0],
            session=session,
            **options,
        )

    return connect


@pytest.fixture
def account(live, session):
    """GET /v1/me with what the library makes of a token."""
    return lambda token: session.get(f"{live.base_url}/v1/me", auth=token)


def secret_of(live, client_id):
    return ClientSecretBasic(client_id, live.client(client_id)["client_secret"])


def key_of(live, client_id):
    return PrivateKeyJwt(client_id, live.client(client_id)["private_jwk"], aud=live.base_url)


def test_code_with_pkce_refresh_and_revoke(connect, person, account):
    client = connect(PublicApp("demo-web"))
    # The library then insists on the issuer, and compares it.
    request = client.authorization_request(scope=SCOPE, authorization_response_iss_parameter_supported=True)
    code = request.validate_callback(person.consent(request.uri))
    token = client.authorization_code(code)

    assert token.token_type == "Bearer"
    assert account(token).json()["role"] == "auditor"

    fresh = client.refresh_token(token)
    assert account(fresh).status_code == 200
    assert account(token).status_code == 401
    assert client.revoke_access_token(fresh)
    assert account(fresh).status_code == 401
    with pytest.raises(InvalidGrant):
        client.refresh_token(fresh)


def test_a_pushed_request(connect, person, account):
    client = connect(PublicApp("demo-web"))
    request = client.authorization_request(scope=SCOPE)

    pushed = client.pushed_authorization_request(request)

    assert pushed.request_uri.startswith("urn:ietf:params:oauth:request_uri:")
    token = client.authorization_code(request.validate_callback(person.consent(pushed.uri)))
    assert account(token).status_code == 200


def test_a_token_bound_to_a_key(connect, person, account, live, session):
    client = connect(PublicApp("demo-web"), dpop_bound_access_tokens=True)
    request = client.authorization_request(scope=SCOPE)
    token = client.authorization_code(request.validate_callback(person.consent(request.uri)))

    assert token.token_type == "DPoP"
    assert account(token).status_code == 200
    assert account(token).status_code == 200
    stolen = {"Authorization": f"Bearer {token.access_token}"}
    assert session.get(f"{live.base_url}/v1/me", headers=stolen).status_code == 401
    fresh = client.refresh_token(token)
    assert account(fresh).status_code == 200
    assert client.revoke_refresh_token(fresh)
    assert account(fresh).status_code == 401


def test_the_whole_of_fapi_2(connect, person, account, live):
    client = connect(key_of(live, "demo-fapi"), dpop_bound_access_tokens=True)
    request = client.authorization_request(scope=SCOPE)
    pushed = client.pushed_authorization_request(request)
    token = client.authorization_code(request.validate_callback(person.consent(pushed.uri)))

    assert token.token_type == "DPoP"
    assert account(token).json()["client"] == "demo-fapi"
    told = client.introspect_token(token)
    assert told["active"]
    assert told["cnf"] == {"jkt": token.dpop_key.dpop_jkt}
    fresh = client.refresh_token(token)
    assert account(fresh).status_code == 200
    assert client.revoke_access_token(fresh)
    assert client.introspect_token(fresh) == {"active": False}


def test_a_fapi_client_without_its_key_is_refused(connect, live):
    private = {**live.client("demo-fapi")["private_jwk"]}
    own = PrivateKeyJwt("demo-fapi", private, aud="https://another.example")
    client = connect(own)

    with pytest.raises((InvalidClient, UnauthorizedClient)):
        client.pushed_authorization_request(client.authorization_request(scope=SCOPE))


def test_a_service_client(connect, live):
    scopes = live.client("demo-service-acme")["scopes"]
    if not scopes:
        pytest.skip("No rule of this service's is for service clients.")
    client = connect(secret_of(live, "demo-service-acme"))

    token = client.client_credentials(scope=scopes[0])

    assert client.introspect_token(token)["sub"] == "demo-service-acme"


def test_introspection_is_for_those_whom_it_concerns(connect, person, live):
    client = connect(PublicApp("demo-web"))
    request = client.authorization_request(scope=SCOPE)
    token = client.authorization_code(request.validate_callback(person.consent(request.uri)))

    told = connect(secret_of(live, "demo-reports")).introspect_token(token)
    assert (told["active"], told["scope"].split(), told["aud"]) == (True, SCOPE.split(), [live.base_url])
    assert connect(secret_of(live, "demo-backend")).introspect_token(token) == {"active": False}


def test_a_denial_is_told(connect, person):
    client = connect(PublicApp("demo-web"))
    request = client.authorization_request(scope=SCOPE)

    with pytest.raises(AuthorizationResponseError) as denied:
        request.validate_callback(person.consent(request.uri, "deny"))
    assert denied.value.error == "access_denied"


def test_max_age_and_acr_are_honoured(connect, person):
    client = connect(PublicApp("demo-web"))
    first = client.authorization_request(scope=SCOPE)
    first.validate_callback(person.consent(first.uri))

    again = client.authorization_request(scope=SCOPE, max_age=0)
    again.validate_callback(person.consent(again.uri))

    assert person.sign_ins == 2
