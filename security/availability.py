"""Availability: an outage of PostgreSQL is 503, never a guess, and it heals by itself.

Threat: a dead connection kept by a worker that fails the first request after every restart; an outage that
shows as 500 with a traceback in the log of every request; a health-check query on every request.
Guarantee: a database that is out of reach gives 503 problem details with Retry-After. Kept connections are
looked at before each request without a round trip: one that the server has closed is readable, and is
replaced before it is used. ``/healthz`` says that the process
answers, ``/readyz`` that the database does as well; neither says anything else.

OWASP API4:2023. ASVS 16.5.2, 16.5.3.
"""

import logging
import select
from collections.abc import Callable

import psycopg
from django.db import InterfaceError, OperationalError, connection, connections, transaction
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from security.errors import DependencyUnavailable, render

logger = logging.getLogger(__name__)


class AvailabilityMiddleware:
    """Replaces dead connections before the view and maps database outages to 503 after it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        close_dead_connections()
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """OperationalError and InterfaceError are outages here; every other exception goes on.

        DependencyUnavailable comes here from what runs after the commit, which DRF does not see.
        """
        if isinstance(exception, DependencyUnavailable):
            return render(request, exception)
        if not isinstance(exception, OperationalError | InterfaceError):
            return None
        logger.error("database out of reach", extra={"error": type(exception).__name__})
        return render(request, DependencyUnavailable())


def close_dead_connections() -> None:
    """Close this thread's kept connections that the server has already closed."""
    for kept in connections.all(initialized_only=True):
        raw = kept.connection
        if raw is None or kept.in_atomic_block:
            continue
        # An idle connection has nothing to say. If it has, that is the server's farewell or the end of file.
        try:
            waiting = select.poll()
            waiting.register(raw.fileno(), select.POLLIN)
            dead = bool(waiting.poll(0))
        except (psycopg.Error, OSError):
            dead = True
        if dead:
            kept.close()


@transaction.non_atomic_requests
def live(request: HttpRequest) -> JsonResponse:
    """The process answers. No dependency is asked."""
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """The database answers as well; an outage is AvailabilityMiddleware's 503."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})
