"""Bridge: ASGI towards the server, where waiting costs no thread, and WSGI towards Django.

Threat: two layers that read one request in two ways. In WSGI ``X_Forwarded_For`` has the name of
``X-Forwarded-For``, so what a gateway strikes out comes in by another spelling. Guarantee: a header with an
underscore in its name is dropped; one that came several times is one, joined by commas (cookies by
semicolons), and a second Content-Type makes it that of nothing; path, query and headers have the bytes that
were sent, and an escaped slash separates nothing. How much was sent is counted before anything is made of it
(security.limits), and what is too much is not taken in.

The body is received first (security.request_body). Then one of THREADS threads serves the request; each keeps
its connection to PostgreSQL. Answers are sent whole, to HEAD without a body. Where MAX_WAITING requests wait
for a thread, the next is 503. That and a failure outside of Django are problems like any other.

Settings: THREADS. PEP 3333, ASGI 3. ASVS 4.1.3, 15.2.2. RFC 3986 section 2.2, RFC 9110 sections 5.3 and
9.3.2, RFC 9113 section 8.2.3.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope
from django.conf import settings

from security.errors import CONTENT_TYPE
from security.headers import ALWAYS, API_CSP, hsts
from security.identifiers import uuid7
from security.limits import HEADER_BYTES, TARGET_BYTES
from security.request_body import Body
from security.transport import UNREADABLE

logger = logging.getLogger(__name__)

#: Names that WSGI has without a prefix.
BARE = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})
#: Of a process, for a thread: what takes longer than a client waits is not begun.
MAX_WAITING = 256
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class Bridge:
    """ASGI application: ``application``, a WSGI one, in ``threads`` threads."""

    def __init__(self, application: Callable[..., Any], *, threads: int) -> None:
        self._application = application
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        # Of the event loop alone, so it needs no lock.
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Raises ValueError for what is not HTTP."""
        if scope["type"] != "http":
            raise ValueError(f"Nothing here serves {scope['type']}.")
        status, headers, body = await self._answer(scope, receive)
        if scope["method"] == "HEAD":
            body = b""  # not every server drops it, and over HTTP/2 it breaks the stream
        await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _answer(self, scope: HTTPScope, receive: ASGIReceiveCallable) -> Answer:
        received = Body()
        try:
            environ = environ_of(scope)
            environ["wsgi.input"] = received
            await received.receive(receive, environ)
            if self._waiting >= MAX_WAITING:
                return _problem(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "Too much is being asked for at once. Nothing was done.",
                    (b"retry-after", b"1"),
                )
            self._waiting += 1
            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._serve, environ)
            finally:
                self._waiting -= 1
        except Exception:  # noqa: BLE001  whatever it is, its text is not for the caller
            return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The log of the operators has the instance.")
        finally:
            received.close()

    def _serve(self, environ: dict[str, Any]) -> Answer:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            started.append((status, headers))

        response = self._application(environ, start_response)
        try:
            body = b"".join(response)
        finally:
            response.close()
        status, headers = started[-1]
        return (
            int(status[:3]),
            [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            body,
        )


def _problem(status: HTTPStatus, detail: str, *more: tuple[bytes, bytes]) -> Answer:
    """What nothing inside has answered. The log has the exception, if there is one, with the instance."""
    instance = f"urn:uuid:{uuid7()}"
    failed = status == HTTPStatus.INTERNAL_SERVER_ERROR
    logger.error("answered outside of the application", exc_info=failed, extra={"instance": instance})
    members = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail}
    body = orjson.dumps({**members, "instance": instance})
    always = {**ALWAYS, "Strict-Transport-Security": hsts(), "Content-Security-Policy": API_CSP}
    headers = [(name.lower().encode(), value.encode()) for name, value in always.items()]
    headers += [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-request-id", instance.removeprefix("urn:uuid:").encode()),
    ]
    return status, [*headers, *more], body


def environ_of(scope: HTTPScope) -> dict[str, Any]:
    """What WSGI says of the request of ``scope``, but for ``wsgi.input``; and TARGET_BYTES, HEADER_BYTES."""
    server, client = scope["server"] or ("", None), scope["client"] or ("", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(_with_escaped_slashes(scope["raw_path"])).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "REMOTE_ADDR": client[0],
        "wsgi.url_scheme": scope["scheme"],
        TARGET_BYTES: len(scope["raw_path"]) + len(scope["query_string"]),
        HEADER_BYTES: sum(len(name) + len(value) for name, value in scope["headers"]),
    }
    if environ[HEADER_BYTES] <= settings.MAX_HEADER_BYTES:
        environ |= _headers(scope)
    return environ


def _with_escaped_slashes(path: bytes) -> bytes:
    """Escaped once more, so that they stay as they are: no route has one."""
    return path.replace(b"%2F", b"%252F").replace(b"%2f", b"%252f")


def _headers(scope: HTTPScope) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for raw_name, raw_value in scope["headers"]:
        if b"_" in raw_name:
            continue
        name = raw_name.decode("latin-1").replace("-", "_").upper()
        values.setdefault(name if name in BARE else f"HTTP_{name}", []).append(raw_value.decode("latin-1"))
    # Joined once: in HTTP/2 a byte names a header again, and there may be thousands of one name.
    found = {name: ("; " if name == "HTTP_COOKIE" else ",").join(each) for name, each in values.items()}
    if len(values.get("CONTENT_TYPE", ())) > 1:
        found["CONTENT_TYPE"] = UNREADABLE
    return found
