"""Transport: plain HTTP is refused, never redirected, and a host that is not ours is no host.

Threat: a client that calls http:// has already sent its token in the clear; a redirect hides that from its
developer for ever. A forged Host ends up in links and caches. Guarantee: a request that did not arrive over
TLS gets 403 problem details without a Location header, whatever the route; a Host that ALLOWED_HOSTS does
not list is 400 before any view; a body that is announced without Content-Length is 411. Query strings and
forms are read as UTF-8, whatever charset a Content-Type names: Django would read them by it, before there is
a handler that could answer for what fails. A Content-Type that is long, or whose parameters cannot be read,
is that of nothing in particular. TLS itself is the server's or the gateway's.

OWASP API8:2023. ASVS 4.1.2, 12.2.1.
"""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.core.handlers.wsgi import WSGIRequest, get_str_from_wsgi
from django.http import HttpRequest, HttpResponseBase
from django.http.multipartparser import MultiPartParserError
from django.utils.functional import cached_property
from django.utils.http import parse_header_parameters

from security.errors import problem_response

#: Characters of a Content-Type. Its parser takes time with the square of them, before anything is limited.
MAX_CONTENT_TYPE = 256
LENGTH = re.compile("[0-9]+")
UNREADABLE = "application/octet-stream"
WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Utf8Request(WSGIRequest):
    """The request class of config.asgi: its text is UTF-8, and neither making nor reading one can fail."""

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        sent = meta.get("CONTENT_TYPE", "")
        try:
            encoding = meta.get("HTTP_CONTENT_ENCODING", "identity").lower()
            if len(sent) > MAX_CONTENT_TYPE or encoding != "identity":
                raise ValueError
            self.content_type, self.content_params = parse_header_parameters(sent)
        except (TypeError, ValueError):  # parameters in charsets that do not exist, or in parts without order
            # Replaced: whoever parses it after us would fail as well.
            meta["CONTENT_TYPE"] = self.content_type = UNREADABLE
            self.content_params = {}

    @cached_property
    def COOKIES(self) -> dict[str, str]:  # type: ignore[override]  # noqa: N802  as Django has it
        """As they were sent. Ours are never quoted, and Python before 3.11.10 and 3.12.6 takes seconds to
        undo the quotes of 32 kB (CVE-2024-7592)."""
        found = {}
        for pair in get_str_from_wsgi(self.environ, "HTTP_COOKIE", "").split(";"):
            name, _, value = pair.partition("=") if "=" in pair else ("", "", pair)
            if name.strip() or value.strip():
                found[name.strip()] = value.strip()
        return found

    def parse_file_upload(self, META: Any, post_data: Any) -> Any:  # noqa: N803  Django's name
        try:
            return super().parse_file_upload(META, post_data)
        except (TypeError, ValueError):  # as above, in the headers of a part
            raise MultiPartParserError("The headers of a part cannot be read.") from None


class TransportMiddleware:
    """Refuses what is not HTTPS, or not for us."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not LENGTH.fullmatch(request.META.get("CONTENT_LENGTH") or "0"):
            # Of two, which HTTP/2 lets through, Django makes none, and serves the request without its body.
            return problem_response(request, HTTPStatus.BAD_REQUEST, detail="Content-Length is not a number.")
        if _has_body_without_length(request):
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


def _has_body_without_length(request: HttpRequest) -> bool:
    """By the headers alone: in HTTP/2 there may be a body that nothing announces."""
    meta = request.META
    if request.method not in WITH_BODY or meta.get("CONTENT_LENGTH"):
        return False
    # HTTP/2 has frames in place of the header; whoever sends a body says of which type it is.
    in_frames = meta["SERVER_PROTOCOL"].startswith("HTTP/2") and request.method != "DELETE"
    return "HTTP_TRANSFER_ENCODING" in meta or (in_frames and bool(meta.get("CONTENT_TYPE")))
