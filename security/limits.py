"""Limits: how long a request's target and headers may be, and that both can be read one way only.

Threat: a request that fills memory and log before anybody is known; a method, or bytes in a query, that one
layer reads in one way and the next in another, so that what was looked at in front is not what is done
here. Guarantee: before anything else is looked at, a target of more than MAX_TARGET_BYTES is 414 and
headers of more than MAX_HEADER_BYTES together are 431; a method that is not in capitals is none, 405; a
query that is not UTF-8 is 400, where the framework would put other characters in its place, and so is a
body of a GET or HEAD, which layers read or pass over as they like. The other bodies' limits are
security.json_parser's and, for forms, Django's.

Settings: MAX_TARGET_BYTES, MAX_HEADER_BYTES. OWASP API4:2023. ASVS 4.1.4, 1.5.2. RFC 9110 sections 9.1 and
15.5.15, RFC 6585 section 5.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from security.errors import problem_response

#: How much came over the line, as the bridge has counted it: names in the environment of a request.
TARGET_BYTES, HEADER_BYTES = "portcullis.target_bytes", "portcullis.header_bytes"
SAFE_METHODS = frozenset({"GET", "HEAD"})


class LimitsMiddleware:
    """Refuses what is too long or can be read in two ways. Only what shapes and logs answers is outside."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        environ = request.META
        query = environ.get("QUERY_STRING", "")
        if _target_bytes(environ) > settings.MAX_TARGET_BYTES:
            return problem_response(request, HTTPStatus.REQUEST_URI_TOO_LONG)
        if _header_bytes(environ) > settings.MAX_HEADER_BYTES:
            return problem_response(request, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if environ["REQUEST_METHOD"] != request.method:  # which Django has put into capitals
            return problem_response(request, HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, POST"})
        if request.method in SAFE_METHODS and _has_body(request):
            return problem_response(
                request, HTTPStatus.BAD_REQUEST, detail="A request with this method has no body."
            )
        if not _is_utf8(query):
            return problem_response(request, HTTPStatus.BAD_REQUEST, detail="The query is not UTF-8.")
        return self.get_response(request)


def _has_body(request: HttpRequest) -> bool:
    length = request.META.get("CONTENT_LENGTH") or "0"
    return length != "0" or "HTTP_TRANSFER_ENCODING" in request.META


def _target_bytes(environ: dict[str, Any]) -> int:
    """As they came over the line or, under another server, as it passes them on."""
    passed_on = len(environ["PATH_INFO"]) + len(environ.get("QUERY_STRING", ""))
    return int(environ.get(TARGET_BYTES, passed_on))


def _header_bytes(environ: dict[str, Any]) -> int:
    """As above: names and values of all."""
    if HEADER_BYTES in environ:
        return int(environ[HEADER_BYTES])
    headers = {name: value for name, value in environ.items() if name.startswith(("HTTP_", "CONTENT_"))}
    return sum(len(name) + len(value) for name, value in headers.items())


def _is_utf8(query: str) -> bool:
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        return False
    return True
