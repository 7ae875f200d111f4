"""Bridge: ASGI towards the server, where waiting costs no thread, and WSGI towards Django.

Threat: two layers that read one request in two ways. In WSGI ``X_Forwarded_For`` has the name of
``X-Forwarded-For``, so what a gateway strikes out comes in by another spelling. Guarantee: a header with an
underscore in its name is dropped; one that came several times is one, joined by commas (cookies by
semicolons); path, query and headers have the bytes that were sent, and an escaped slash separates nothing.

The body is received first (security.request_body). Then one of THREADS threads serves the request; each keeps
its connection to PostgreSQL. Answers are sent whole. A failure outside of Django is a problem like any other.

Settings: THREADS. PEP 3333, ASGI 3. ASVS 4.1.3. RFC 3986 section 2.2, RFC 9110 section 5.3, RFC 9113
section 8.2.3.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

from security.errors import CONTENT_TYPE
from security.identifiers import uuid7
from security.request_body import Body

logger = logging.getLogger(__name__)

#: Names that WSGI has without a prefix.
BARE = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})
#: What makes ``%2F`` a slash: without, it stays as it is, and is in the name of no route.
ESCAPED_SLASH = re.compile(rb"%(?=2[Ff])")
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class Bridge:
    """ASGI application: ``application``, a WSGI one, in ``threads`` threads."""

    def __init__(self, application: Callable[..., Any], *, threads: int) -> None:
        self._application = application
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Raises ValueError for what is not HTTP."""
        if scope["type"] != "http":
            raise ValueError(f"Nothing here serves {scope['type']}.")
        environ = environ_of(scope)
        environ["wsgi.input"] = received = Body()
        try:
            await received.receive(receive, environ)
            loop = asyncio.get_running_loop()
            status, headers, body = await loop.run_in_executor(self._threads, self._serve, environ)
        except Exception:  # noqa: BLE001  whatever it is, its text is not for the caller
            status, headers, body = _failed(environ)
        finally:
            received.close()
        await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
        await send({"type": "http.response.body", "body": body, "more_body": False})

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


def _failed(environ: dict[str, Any]) -> Answer:
    """What nothing inside has answered. The log has the exception, with the instance."""
    instance = f"urn:uuid:{uuid7()}"
    logger.exception("failed outside of the application", extra={"instance": instance})
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    problem = {"type": "about:blank", "title": status.phrase, "status": status, "instance": instance}
    headers = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    return status, headers, b"" if environ["REQUEST_METHOD"] == "HEAD" else orjson.dumps(problem)


def environ_of(scope: HTTPScope) -> dict[str, Any]:
    """What WSGI says of the request of ``scope``, but for ``wsgi.input``."""
    server, client = scope["server"] or ("", None), scope["client"] or ("", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(ESCAPED_SLASH.sub(b"%25", scope["raw_path"])).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "REMOTE_ADDR": client[0],
        "wsgi.url_scheme": scope["scheme"],
    }
    for raw_name, raw_value in scope["headers"]:
        if b"_" in raw_name:
            continue
        name = raw_name.decode("latin-1").replace("-", "_").upper()
        if name not in BARE:
            name = f"HTTP_{name}"
        value = raw_value.decode("latin-1")
        if name in environ:
            value = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ','}{value}"
        environ[name] = value
    return environ
