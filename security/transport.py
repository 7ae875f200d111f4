"""Transport: plain HTTP is refused, never redirected.

Threat: a client that calls http:// has already sent its token in the clear; a redirect hides that from its
developer for ever. Guarantee: a request that did not arrive over TLS gets 403 problem details without a
Location header, whatever the route. TLS itself (1.2 and later) is the server's or the gateway's.

OWASP API8:2023. ASVS 4.1.2, 12.2.1.
"""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponseBase

from security.errors import problem_response


class TransportMiddleware:
    """Refuses what is not HTTPS."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.is_secure():
            return self.get_response(request)
        return problem_response(
            request,
            HTTPStatus.FORBIDDEN,
            detail="This service answers over HTTPS only. If a token was sent, revoke it.",
        )
