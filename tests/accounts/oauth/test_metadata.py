"""The metadata documents say exactly what is on."""

import pytest
from django.urls import resolve

from security.scopes import all_scopes
from tests.clients import Api

pytestmark = pytest.mark.django_db


def test_the_servers_metadata(settings):
    response = Api().get("/.well-known/oauth-authorization-server")

    assert response.status_code == 200
    assert response.json() == {
        "issuer": settings.PUBLIC_URL,
        "authorization_endpoint": f"{settings.PUBLIC_URL}/oauth/authorize",
        "token_endpoint": f"{settings.PUBLIC_URL}/oauth/token",
        "revocation_endpoint": f"{settings.PUBLIC_URL}/oauth/revoke",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "revocation_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "scopes_supported": list(all_scopes()),
        "authorization_response_iss_parameter_supported": True,
        "service_documentation": f"{settings.PUBLIC_URL}/docs",
    }


def test_every_endpoint_named_is_there(settings):
    for name, value in Api().get("/.well-known/oauth-authorization-server").json().items():
        if name.endswith("_endpoint"):
            assert resolve(value.removeprefix(settings.PUBLIC_URL))


def test_the_resources_metadata(settings):
    assert Api().get("/.well-known/oauth-protected-resource").json() == {
        "resource": settings.PUBLIC_URL,
        "authorization_servers": [settings.PUBLIC_URL],
        "scopes_supported": list(all_scopes()),
        "bearer_methods_supported": ["header"],
        "resource_documentation": f"{settings.PUBLIC_URL}/docs",
    }


@pytest.mark.parametrize("host", ["evil.example", "testserver"])
def test_the_issuer_never_reflects_the_host(settings, host):
    response = Api().get("/.well-known/oauth-authorization-server", HTTP_HOST=host)

    assert host == "evil.example" or response.json()["issuer"] == settings.PUBLIC_URL
    assert "evil" not in response.content.decode()
