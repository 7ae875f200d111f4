"""Logging: one JSON line per event, with the request id, and no secret in any of them.

Threat: an incident that nobody can reconstruct, and a log that is itself the leak; line breaks in input
that forge log lines. Guarantee: every line that Python writes is one JSON object, so a newline in a value
stays inside its string; the lines of a view carry its request's id, which the answer carries as
``X-Request-ID`` and in problem details; query strings, bodies, cookies and Authorization are never logged;
loggers of libraries that print tokens at DEBUG are pinned.

Settings: LOG_LEVEL. ASVS 16.2.1, 16.2.4, 16.2.5, 16.4.1.
"""

import logging
import logging.config
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import orjson
import structlog
import uuid_utils.compat
from django.http import HttpRequest, HttpResponseBase

from security.client_ip import client_address

#: oauthlib prints tokens at DEBUG; the database backend prints parameters.
PINNED = ("oauthlib", "oauth2_provider", "django.db.backends", "requests_oauthlib")
#: Writes a traceback for each forged Host: a lever for whoever likes to fill a disk. The access line stays.
SILENT = ("django.security.DisallowedHost",)
SECRET_KEYS = frozenset(
    {
        "access_token",
        "authorization",
        "client_secret",
        "code",
        "code_verifier",
        "cookie",
        "iban",
        "password",
        "refresh_token",
        "secret",
        "sessionid",
        "set-cookie",
        "tax_id",
        "token",
    }
)
REDACTED = "[redacted]"

logger = structlog.get_logger("portcullis.request")


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: the values of keys that name a secret are replaced."""
    for key in event.keys() & SECRET_KEYS:
        event[key] = REDACTED
    return event


def configure(options: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG: everything, the standard library's loggers included, as JSON on stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        _drop_request,
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        structlog.processors.format_exc_info,
                        structlog.processors.JSONRenderer(serializer=_dumps),
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"handlers": ["stderr"], "level": options["level"]},
            "loggers": {
                **{name: {"level": "WARNING"} for name in PINNED},
                **{name: {"handlers": [], "propagate": False} for name in SILENT},
            },
        }
    )


class RequestLogMiddleware:
    """Gives each request its id and writes its one access line. Outermost, so that nothing escapes it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # Our own id: one sent by the client could collide with, or forge, another request's.
        request.request_id = uuid_utils.compat.uuid7()  # type: ignore[attr-defined]  # read by errors and audit
        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=str(request.request_id)):  # type: ignore[attr-defined]  # set above
            response = self.get_response(request)
            access = getattr(request, "access", None)
            match = request.resolver_match
            logger.info(
                "request",
                method=request.method,
                # The pattern, not the path: paths hold ids, and unknown ones hold anything.
                route=match.route if match else None,
                status=response.status_code,
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
                address=client_address(request),
                client_id=access.client_id if access else None,
                user=str(access.user_public_id) if access else None,
            )
        response.headers["X-Request-ID"] = str(request.request_id)  # type: ignore[attr-defined]  # set above
        return response


def _drop_request(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Django's own records of a request carry it whole, and its path after a colon in their message."""
    if event.pop("request", None) is not None:
        event["event"] = str(event["event"]).partition(":")[0]
    return event


def _dumps(event: Any, **options: Any) -> str:
    return orjson.dumps(event, default=options.get("default", str)).decode()
