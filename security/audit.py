"""Audit: who did what to which object, kept where it cannot be changed.

Threat: an intrusion or a fraud that leaves no trace, a trace that its author can rewrite, and a trail that
is flooded until nobody reads it. Guarantee: a data change and its event commit together or not at all;
the service role may insert and read events and has no right to change them; a trigger stops the owner's
UPDATE, DELETE and TRUNCATE as well, unless the owner, who could drop it, means to. Refusals (those of
``REFUSALS``) are written after the request's own transaction was rolled back. Repeats of the same refusal
within ``REPEAT_WINDOW_SECONDS`` become one further row with a count; so do callers beyond
``MAX_OPEN_WINDOWS``, of whom those whom nobody knows take no room from the others. Counts are kept in the
process, and lost if it is killed.

``/v1/audit-events`` shows an organisation's auditor the organisation's rows. Events name fields and codes,
never values; the reason that somebody gives for a deed is their own words. OWASP API9:2023. ASVS 16.1.1,
16.2.1, 16.3.1, 16.3.2, 16.3.3, 16.4.2.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing.util import Finalize
from typing import Any
from uuid import UUID

from django.db import Error, close_old_connections, connection, models
from django.http import HttpRequest, HttpResponseBase
from psycopg import sql

from security.client_ip import client_address, throttle_key
from security.models import AuditEvent

REPEAT_WINDOW_SECONDS = 60.0
MAX_OPEN_WINDOWS = 10_000
#: In one request, which is somebody else's: ended windows wait for the next ones.
MAX_WRITTEN_WINDOWS = 50

logger = logging.getLogger(__name__)


class Event(StrEnum):
    """Tags in the grammar ``source:subject:action``. Apps add their own for data changes."""

    SIGN_IN = "account:session:started"
    SIGN_IN_FAILED = "account:session:refused"
    SIGN_OUT = "account:session:ended"
    CONSENT_GIVEN = "oauth:consent:given"
    CONSENT_DENIED = "oauth:consent:denied"
    TOKEN_ISSUED = "oauth:token:issued"  # noqa: S105  a tag
    TOKEN_REFUSED = "oauth:token:refused"  # noqa: S105  a tag
    TOKEN_REVOKED = "oauth:token:revoked"  # noqa: S105  a tag
    UNAUTHENTICATED = "api:request:unauthenticated"
    FORBIDDEN = "api:request:forbidden"
    NOT_FOUND = "api:object:not-found"
    INVALID = "api:request:invalid"
    CONFLICT = "api:request:conflict"
    LIMITED = "api:request:limited"


REFUSALS = {
    400: Event.INVALID,
    401: Event.UNAUTHENTICATED,
    403: Event.FORBIDDEN,
    404: Event.NOT_FOUND,
    409: Event.CONFLICT,
    412: Event.CONFLICT,
    413: Event.INVALID,
    415: Event.INVALID,
    422: Event.INVALID,
    428: Event.INVALID,
    429: Event.LIMITED,
}


def record(
    request: HttpRequest,
    event: str,
    *,
    organisations: Iterable[int | None],
    actor: UUID | None,
    client_id: str = "",
    target: models.Model | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Insert one event per organisation, in the current transaction: beside the change, so both or neither.

    One statement whatever the number; no organisation gives one row that belongs to none. ``target`` needs
    a ``public_id``. ``detail`` is JSON: names of fields and codes, never values.
    """
    append(
        AuditEvent(
            event=event,
            organisation_id=organisation_id,
            actor=actor,
            client_id=client_id[:255],
            address=_address(request),
            request_id=getattr(request, "request_id", None),
            target_type=target._meta.label_lower if target is not None else "",
            target_id=getattr(target, "public_id", None),
            detail=detail or {},
        )
        for organisation_id in (list(organisations) or [None])
    )


def record_change(
    request: Any, event: str, target: models.Model, *, fields: Iterable[str] = (), **detail: Any
) -> None:
    """The event of a data change made with ``request.auth`` (a DRF request), in the change's transaction."""
    access = request.auth
    if fields:
        detail["fields"] = sorted(fields)
    record(
        request._request,
        event,
        organisations=[access.organisation_id],
        actor=access.user_public_id,
        client_id=access.client_id,
        target=target,
        detail=detail,
    )


def append(events: Iterable[AuditEvent]) -> None:
    """Insert ``events`` with one statement.

    Not by the ORM, which reads the new keys back: the database shows a row to its tenant alone
    (security.row_security), and who writes here need not be one.
    """
    fields = [field for field in AuditEvent._meta.concrete_fields if not field.primary_key]
    rows = [
        [field.get_db_prep_save(field.pre_save(event, add=True), connection) for field in fields]
        for event in events
    ]
    values = sql.SQL(", ").join(
        [sql.SQL("({})").format(sql.SQL(", ").join([sql.Placeholder()] * len(fields)))] * len(rows)
    )
    statement = sql.SQL("INSERT INTO {} ({}) VALUES {}").format(
        sql.Identifier(AuditEvent._meta.db_table),
        sql.SQL(", ").join([sql.Identifier(str(field.column)) for field in fields]),
        values,
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [value for row in rows for value in row])


@dataclass(frozen=True, slots=True)
class Refusal:
    """What makes two refusals the same."""

    event: str
    organisation_id: int | None
    actor: UUID | None
    client_id: str
    address: str | None = field(compare=False)  # of the first; told apart is ``network``
    route: str
    method: str
    status: int
    code: str
    network: str = ""


class RepeatWindows:
    """Which refusals were seen lately. The first of a window is written at once, the rest counted."""

    clock: Callable[[], float] = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Known callers and others apart: nobody unknown can fill up what a member's refusals are kept in.
        self._open: dict[bool, dict[Refusal, tuple[float, int]]] = {True: {}, False: {}}

    def note(self, refusal: Refusal) -> bool:
        """True when ``refusal`` is the first of its window and has to be written now."""
        windows = self._open[refusal.actor is not None]
        with self._lock:
            if refusal in windows:
                opened, repeats = windows[refusal]
                windows[refusal] = (opened, repeats + 1)
                return False
            if len(windows) >= MAX_OPEN_WINDOWS:
                # Full: this caller is making up new addresses. Count them together.
                refusal = Refusal(refusal.event, None, None, "", None, "", "", refusal.status, "overflow")
                opened, repeats = windows.get(refusal, (self.clock(), 0))
                windows[refusal] = (opened, repeats + 1)
                return False
            windows[refusal] = (self.clock(), 0)
            return True

    def take_ended(self, *, everything: bool = False) -> list[tuple[Refusal, int]]:
        """Close the windows that are over, oldest first; those with repeats, as (refusal, repeats)."""
        ended: list[tuple[Refusal, int]] = []
        with self._lock:
            deadline = self.clock() - REPEAT_WINDOW_SECONDS
            for windows in self._open.values():
                while windows:
                    refusal, (opened, repeats) = next(iter(windows.items()))
                    if (opened > deadline or len(ended) == MAX_WRITTEN_WINDOWS) and not everything:
                        break
                    del windows[refusal]
                    if repeats:
                        ended.append((refusal, repeats))
        return ended


windows = RepeatWindows()


class AuditMiddleware:
    """Writes refusals once the request's own transaction is over. Outside ATOMIC_REQUESTS by position."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        event = getattr(request, "audit_event", REFUSALS.get(response.status_code))
        if event is not None:
            refusal = _refusal(request, response, event)
            if windows.note(refusal):
                _write([(refusal, getattr(request, "request_id", None), 1)])
        write_ended_windows()
        return response


def write_ended_windows(*, everything: bool = False) -> None:
    """One row with a count for each window that is over; in a request, for MAX_WRITTEN_WINDOWS at most."""
    _write([(refusal, None, repeats) for refusal, repeats in windows.take_ended(everything=everything)])


def _refusal(request: HttpRequest, response: HttpResponseBase, event: str) -> Refusal:
    access = getattr(request, "access", None)
    match = request.resolver_match
    return Refusal(
        event=event,
        organisation_id=access.organisation_id if access else None,
        actor=access.user_public_id if access else None,
        client_id=access.client_id if access else "",
        address=_address(request),
        # Without a known caller the route is not told apart: guessing routes would open a window each.
        route=match.route if match and access else "",
        method=request.method or "" if access else "",
        status=response.status_code,
        code=getattr(response, "problem", ""),
        network=throttle_key(client_address(request)),
    )


def _write(refusals: Sequence[tuple[Refusal, UUID | None, int]]) -> None:
    """Rows of what was refused, the request that it was, and how often."""
    if not refusals:
        return
    try:
        append([_event(*each) for each in refusals])
    except Error as error:
        # The callers have been refused already; the log keeps what the trail could not take.
        for refusal, _, _ in refusals:
            logger.critical(
                "audit event not written", extra={"event_tag": refusal.event, "error": type(error).__name__}
            )


def _event(refusal: Refusal, request_id: UUID | None, count: int) -> AuditEvent:
    detail = {"status": refusal.status, "code": refusal.code}
    if refusal.route:
        detail |= {"route": refusal.route, "method": refusal.method}
    return AuditEvent(
        event=refusal.event,
        organisation_id=refusal.organisation_id,
        actor=refusal.actor,
        client_id=refusal.client_id,
        address=refusal.address,
        request_id=request_id,
        detail=detail,
        count=count,
    )


def _address(request: HttpRequest) -> str | None:
    address = client_address(request)
    return address if ("." in address or ":" in address) else None


def _write_rest() -> None:
    close_old_connections()
    with contextlib.suppress(Exception):  # the interpreter is going down; nothing can be done about it
        write_ended_windows(everything=True)


# Not atexit: workers are children of multiprocessing, whose end runs its own finalizers only.
Finalize(None, _write_rest, exitpriority=0)
