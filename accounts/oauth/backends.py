"""OAUTH2_BACKEND_CLASS: what this service knows of a request, handed on to the library's own."""

from typing import Any

from django.http import HttpRequest
from oauth2_provider.oauth2_backends import OAuthLibCore

from accounts.oauth.dpop import SCHEME

#: Among the library's headers. No caller can send one of this name: theirs begin with HTTP_.
JKT = "portcullis.dpop_jkt"

#: What the endpoints know. The library's request answers for an attribute that it has not with a parameter of
#: that name, so whatever else a caller sends (``user``, ``refresh_token_instance``) must not get there.
PARAMETERS = frozenset(
    {
        "client_assertion",
        "client_assertion_type",
        "client_id",
        "client_secret",
        "code",
        "code_verifier",
        "grant_type",
        "redirect_uri",
        "refresh_token",
        "resource",
        "scope",
        "token",
        "token_type_hint",
    }
)


class OAuthBackend(OAuthLibCore):
    """The key of a verified proof (RFC 9449) goes to the validator, and its token type into the answer."""

    def extract_headers(self, request: HttpRequest) -> dict[str, Any]:
        headers: dict[str, Any] = super().extract_headers(request)
        headers[JKT] = proven_key(request)
        return headers

    def extract_body(self, request: HttpRequest) -> list[tuple[str, str]]:
        """RFC 6749 section 3.2: parameters that are not known are ignored."""
        return [(name, value) for name, value in super().extract_body(request) if name in PARAMETERS]

    def _get_extra_credentials(self, request: HttpRequest) -> dict[str, str] | None:
        return {"token_type": SCHEME} if proven_key(request) else None


def proven_key(request: HttpRequest) -> str:
    """The thumbprint of the key of the request's verified proof; empty without one."""
    return getattr(request, "dpop_jkt", "")
