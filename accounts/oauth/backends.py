"""OAUTH2_BACKEND_CLASS: what this service knows of a request, handed on to the library's own."""

from typing import Any

from django.http import HttpRequest
from oauth2_provider.oauth2_backends import OAuthLibCore

from accounts.oauth.dpop import SCHEME

#: Among the library's headers. No caller can send one of this name: theirs begin with HTTP_.
JKT = "portcullis.dpop_jkt"


class OAuthBackend(OAuthLibCore):
    """The key of a verified proof (RFC 9449) goes to the validator, and its token type into the answer."""

    def extract_headers(self, request: HttpRequest) -> dict[str, Any]:
        headers: dict[str, Any] = super().extract_headers(request)
        headers[JKT] = proven_key(request)
        return headers

    def _get_extra_credentials(self, request: HttpRequest) -> dict[str, str] | None:
        return {"token_type": SCHEME} if proven_key(request) else None


def proven_key(request: HttpRequest) -> str:
    """The thumbprint of the key of the request's verified proof; empty without one."""
    return getattr(request, "dpop_jkt", "")
