"""Transport: plain HTTP is refused, never redirected, and a host that is not ours is no host.

Threat: a client that calls http:// has already sent its token in the clear; a redirect hides that from its
developer for ever. A forged Host ends up in links and caches. Guarantee: a request that did not arrive over
TLS gets 403 problem details without a Location header, whatever the route; a Host that ALLOWED_HOSTS does
not list is 400 before any view; a body without Content-Length is 411, never silently ignored. TLS itself is
the server's or the gateway's.

OWASP API8:2023. ASVS 4.1.2, 12.2.1.
"""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponseBase

from security.errors import problem_response

WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class TransportMiddleware:
    """Refuses what is not HTTPS, or not for us."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method in WITH_BODY and not request.META.get("CONTENT_LENGTH") and _has_body(request):
            # Django reads nothing without a length: the request would be served as if it had no body.
            return problem_response(request, HTTPStatus.LENGTH_REQUIRED, detail="Send Content-Length.")
        request.get_host()  # raises DisallowedHost (400); Django looks only where a view asks
        if request.is_secure():
            return self.get_response(request)
        return problem_response(
            request,
            HTTPStatus.FORBIDDEN,
            detail="This service answers over HTTPS only. If a token was sent, revoke it.",
        )


def _has_body(request: HttpRequest) -> bool:
    source = request.META.get("wsgi.input")
    return source is not None and bool(source.read(1))
