"""Logging: one JSON line per event, with the request id, and no secret in any of them.

Threat: an incident that nobody can reconstruct, and a log that is itself the leak; line breaks in input
that forge log lines. Guarantee: every line that Python writes is one JSON object, so a newline in a value
stays inside its string; the lines of a view carry its request's id, which the answer carries as
``X-Request-ID`` and in problem details; query strings, bodies, cookies and Authorization are never logged;
loggers of libraries that print tokens at DEBUG are pinned. Of an error of the database no row's value is
logged; in a message or traceback, the service's own keys and passwords and whatever has the form of
credentials are replaced. A caller's own fault leaves no traceback.

Settings: LOG_LEVEL. ASVS 16.2.1, 16.2.4, 16.2.5, 16.4.1.
"""

import logging
import logging.config
import re
import time
import traceback
from collections.abc import Callable, MutableMapping
from http import HTTPStatus
from typing import Any

import django.db
import orjson
import psycopg
import structlog
import uuid_utils.compat
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from security.client_ip import client_address

#: oauthlib prints tokens at DEBUG; the database backend prints parameters.
PINNED = ("oauthlib", "oauth2_provider", "django.db.backends", "requests_oauthlib")
#: They write a traceback for each forged Host, or body that does not come: a lever for whoever likes to fill
#: a disk. The access line stays.
SILENT = ("django.security.DisallowedHost", "django.security.BodyNotReceived")
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
#: Names of settings whose values are replaced in a traceback, and from which length on.
SECRET_SETTING = re.compile(r"SECRET|PASSWORD$|TOKEN$|(^|_)KEYS?$")
MIN_SECRET = 12
#: The forms of credentials; what is kept of each is its first group.
CREDENTIALS = (
    re.compile(r"(\b(?:bearer|dpop|basic)\s+)[^\s\"',;]{8,}", re.IGNORECASE),
    re.compile(r"(\b[\w+]+://[^/\s:@\"']*:)[^/\s@\"']+(?=@)"),
    re.compile(r"(\b__Host-[\w-]+=)[^\s;\"',]+"),
)
#: Where a message of PostgreSQL's begins to quote a value; names of its own are quoted without the colon.
QUOTED_VALUE = re.compile(r': ".*')

logger = structlog.get_logger("portcullis.request")


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: the values of keys that name a secret are replaced."""
    for key in event.keys() & SECRET_KEYS:
        event[key] = REDACTED
    return event


def scrub(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: what looks like credentials is replaced; in a traceback, known secrets too."""
    for key in ("event", "exception"):
        text = event.get(key)
        if not isinstance(text, str):
            continue
        for form in CREDENTIALS:
            text = form.sub(rf"\g<1>{REDACTED}", text)
        if key == "exception":
            for secret in sorted(_own_secrets(), key=len, reverse=True):
                text = text.replace(secret, REDACTED)
        event[key] = text
    return event


def format_exception(exc_info: Any) -> str:
    """The traceback of each exception of the chain, oldest first; of a database error, without its values."""
    chain: list[BaseException] = []
    current: BaseException | None = exc_info[1]
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n".join(
        "Traceback (most recent call last):\n"
        + "".join(traceback.format_tb(error.__traceback__))
        + f"{type(error).__module__}.{type(error).__qualname__}: {_message(error)}"
        for error in reversed(chain)
    )


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  an exception that cannot say what it is must not end the log
        return "(no message)"
    if isinstance(error, django.db.Error | psycopg.Error):
        # The lines after the first are DETAIL, CONTEXT and the statement with its parameters.
        return QUOTED_VALUE.sub(f": {REDACTED}", text.partition("\n")[0])
    return text


def _own_secrets() -> set[str]:
    """The values of every setting that is named like a secret, and the passwords of the databases."""
    found: set[str] = set()
    pending = [getattr(settings, name) for name in dir(settings) if SECRET_SETTING.search(name)]
    for databases in (settings.DATABASES, {"owner": settings.DATABASE_OWNER, "ops": settings.DATABASE_OPS}):
        pending += [database.get("PASSWORD") for database in databases.values()]
    while pending:
        value = pending.pop()
        if isinstance(value, list | tuple | set):
            pending.extend(value)
        elif isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, str):
            # A key of an id is secret without its id as well.
            found |= {part for part in (value, value.partition(":")[2]) if len(part) >= MIN_SECRET}
    return found


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
                        structlog.processors.ExceptionRenderer(format_exception),
                        scrub,
                        structlog.processors.JSONRenderer(serializer=_dumps),
                    ],
                }
            },
            "handlers": {
                "stderr": {"class": "logging.StreamHandler", "formatter": "json"},
                "nowhere": {"class": "logging.NullHandler"},
            },
            "root": {"handlers": ["stderr"], "level": options["level"]},
            "loggers": {
                # Django gives this one a level of its own, and a handler that mails requests to ADMINS.
                "django": {"handlers": [], "level": options["level"]},
                **{name: {"level": "WARNING"} for name in PINNED},
                # Without any handler, Python would write to stderr what the root was not to.
                **{name: {"handlers": ["nowhere"], "propagate": False} for name in SILENT},
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
    """Django's own records of a request carry it whole, and its path after a colon in their message.

    Those of a request that was the caller's fault lose their traceback: anybody could fill a disk with it.
    """
    if event.pop("request", None) is not None:
        event["event"] = str(event["event"]).partition(":")[0]
        if event.get("status_code", HTTPStatus.INTERNAL_SERVER_ERROR) < HTTPStatus.INTERNAL_SERVER_ERROR:
            event.pop("exc_info", None)
    return event


def _dumps(event: Any, **options: Any) -> str:
    return orjson.dumps(event, default=options.get("default", str)).decode()
