"""Bodies that come late, or not at all, over HTTPS."""

import http.client
import time
from contextlib import ExitStack
from http import HTTPStatus
from http.client import HTTPResponse

import pytest
from django.conf import settings

from deploy.local.server import WORKERS
from security.request_body import READ_OFF_BYTES
from tests.live.test_framing import (
    END_HEADERS,
    HEADERS,
    HOST,
    PREFACE,
    SETTINGS,
    connect,
    exactly,
    frame,
    request,
)

#: No answer takes longer than this, whatever others do: a second for the body, and what a busy machine takes.
HANG_SECONDS = 5.0
#: More than all threads of the service together.
STALLED = 3 * WORKERS * settings.THREADS
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
ANNOUNCED = b"POST /oauth/token HTTP/1.1\r\n" + HOST + FORM + b"Content-Length: 10\r\n\r\n"
FIELDS = ((b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", b"10"))


def answer(connection):
    """The status of the next answer."""
    response = HTTPResponse(connection)
    response.begin()
    response.read()
    return response.status


def streams(*numbers):
    """HTTP/2: a request on each of these streams, whose body does not come."""
    fields = request(*FIELDS, method=b"POST", path=b"/oauth/token")
    return b"".join(frame(HEADERS, END_HEADERS, number, fields) for number in numbers)


def stall(live, stack, protocol):
    """A request on a connection of its own, whose body does not come."""
    connection = stack.enter_context(connect(live, protocol))
    http2 = protocol == "h2"
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + streams(1) if http2 else ANNOUNCED)
    return connection


def answered_streams(connection, number):
    """Of which streams the headers of an answer came, until there are so many."""
    found = set()
    while len(found) < number:
        head = exactly(connection, 9)
        exactly(connection, int.from_bytes(head[:3], "big"))
        if head[3] == HEADERS:
            found.add(int.from_bytes(head[5:], "big"))
    return found


def test_a_body_that_comes_late_is_received(live):
    with connect(live, "http/1.1") as connection:
        connection.sendall(ANNOUNCED)
        time.sleep(0.2)  # the pace of whoever sends
        connection.sendall(b"grant_type")

        assert answer(connection) == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("sent", [b"", b"grant"], ids=["nothing", "a part"])
def test_who_stalls_is_answered(live, sent):
    with connect(live, "http/1.1") as connection:
        connection.sendall(ANNOUNCED + sent)
        started = time.monotonic()

        assert answer(connection) == HTTPStatus.REQUEST_TIMEOUT
        assert time.monotonic() - started < HANG_SECONDS


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /healthz", HTTPStatus.BAD_REQUEST),
        (b"POST /v1/invitations", HTTPStatus.UNAUTHORIZED),
        (b"POST /nowhere", HTTPStatus.NOT_FOUND),
    ],
)
def test_who_is_refused_anyway_is_told_why(live, line, status):
    with connect(live, "http/1.1") as connection:
        connection.sendall(line + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\n")
        started = time.monotonic()

        assert answer(connection) == status
        assert time.monotonic() - started < HANG_SECONDS


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_who_stalls_holds_up_nobody_else(live, protocol):
    """Three times as many as there are threads; eight ended the service, for as long as they stayed."""
    with ExitStack() as stack:
        for _ in range(STALLED):
            stall(live, stack, protocol)
        for _ in range(2 * STALLED):
            started = time.monotonic()
            assert live.get("/readyz")[0] == HTTPStatus.OK
            assert time.monotonic() - started < HANG_SECONDS
        with connect(live, "http/1.1") as connection:  # and whoever sends a body
            started = time.monotonic()
            connection.sendall(ANNOUNCED + b"grant_type")
            assert answer(connection) == HTTPStatus.BAD_REQUEST
            assert time.monotonic() - started < HANG_SECONDS


def test_streams_that_stall_hold_up_nobody_else(live):
    """One connection of HTTP/2 has room for many."""
    numbers = range(1, 2 * STALLED, 2)
    with connect(live, "h2") as connection:
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + streams(*numbers))
        started = time.monotonic()
        assert live.get("/readyz")[0] == HTTPStatus.OK
        assert time.monotonic() - started < HANG_SECONDS

        assert answered_streams(connection, len(numbers)) == set(numbers)
        assert time.monotonic() - started < HANG_SECONDS


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/invitations", HTTPStatus.UNAUTHORIZED), ("/oauth/token", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)],
)
def test_who_sends_too_much_hears_the_answer(live, path, status):
    """A server that closes on somebody who is sending is heard by few."""
    body = b"a" * (READ_OFF_BYTES - 1)
    for _ in range(20):
        connection = live.connect()
        connection.request("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})
        response = connection.getresponse()
        assert response.status == status
        response.read()
        connection.close()


def test_who_announces_without_measure_is_not_waited_for(live):
    with connect(live, "http/1.1") as connection:
        connection.sendall(ANNOUNCED.replace(b"10\r\n", b"3000000000\r\n") + b"a" * 100_000)
        started = time.monotonic()

        assert answer(connection) == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        assert time.monotonic() - started < HANG_SECONDS


def test_a_connection_goes_on_after_a_body_that_was_refused(live):
    connection = live.connect()
    for _ in range(3):
        connection.request("POST", "/v1/invitations", b"{}", {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == http.client.UNAUTHORIZED
        response.read()
    connection.close()
