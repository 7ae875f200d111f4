"""Metadata: what this authorization server and this API offer, exactly.

Threat: a document that promises what is off, so that clients try it, or hides what is on; an issuer that
reflects the Host header, so that a client is led to another server. Guarantee: each value is taken from
what decides it, and a test compares the document with the endpoints' behaviour.

RFC 8414, RFC 9728, RFC 9126 section 5, RFC 9207, RFC 9449 section 5.1. ASVS 10.4.7.
"""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import reverse
from django.views.generic import View

from accounts.oauth.authentication_context import LEVELS
from accounts.oauth.authorization_requests import PROMPTS
from security.errors import SIGNATURE_ALGORITHMS
from security.scopes import all_scopes

#: Where clients authenticate, and with what. Introspection is not for public clients.
CONFIDENTIAL_METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt")
AUTH_METHODS = ("none", *CONFIDENTIAL_METHODS)


class ServerMetadataView(View):
    """RFC 8414."""

    def get(self, request: HttpRequest) -> JsonResponse:
        algorithms = list(SIGNATURE_ALGORITHMS)
        document: dict[str, Any] = {
            "issuer": settings.PUBLIC_URL,
            "authorization_endpoint": _url("authorize"),
            "token_endpoint": _url("token"),
            "pushed_authorization_request_endpoint": _url("par"),
            "revocation_endpoint": _url("revoke-token"),
            "introspection_endpoint": _url("introspect"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": sorted(settings.OAUTH2_PROVIDER["OAUTH2_GRANT_TYPES_SUPPORTED"]),
            "code_challenge_methods_supported": ["S256"],
            "prompt_values_supported": list(PROMPTS),
            "acr_values_supported": list(LEVELS),
            "token_endpoint_auth_methods_supported": list(AUTH_METHODS),
            "token_endpoint_auth_signing_alg_values_supported": algorithms,
            "revocation_endpoint_auth_methods_supported": list(AUTH_METHODS),
            "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
            "introspection_endpoint_auth_methods_supported": list(CONFIDENTIAL_METHODS),
            "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
            "dpop_signing_alg_values_supported": algorithms,
            "require_pushed_authorization_requests": False,
            "authorization_response_iss_parameter_supported": True,
            "scopes_supported": list(all_scopes()),
            "protected_resources": [settings.PUBLIC_URL],
            "service_documentation": f"{settings.PUBLIC_URL}/docs",
        }
        return JsonResponse(document)


class ResourceMetadataView(View):
    """RFC 9728."""

    def get(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse(
            {
                "resource": settings.PUBLIC_URL,
                "authorization_servers": [settings.PUBLIC_URL],
                "scopes_supported": list(all_scopes()),
                "bearer_methods_supported": ["header"],
                "dpop_signing_alg_values_supported": list(SIGNATURE_ALGORITHMS),
                "dpop_bound_access_tokens_required": False,
                "resource_documentation": f"{settings.PUBLIC_URL}/docs",
            }
        )


def _url(name: str) -> str:
    return settings.PUBLIC_URL + reverse(f"oauth2_provider:{name}")
