"""Bodies that come late, or not at all, over HTTPS."""

import time
from contextlib import ExitStack
from http import HTTPStatus
from http.client import HTTPResponse

import pytest

from deploy.local.__main__ import THREADS, WORKERS
from tests.live.test_framing import END_HEADERS, HEADERS, PREFACE, SETTINGS, connect, frame, request

#: No answer takes longer than this, whatever others do.
HANG_SECONDS = 2.0
#: More than all threads of the service together.
STALLED = 3 * WORKERS * THREADS


ANNOUNCED = (
    b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\n"
)


def answer(connection):
    """The status of the next answer."""
    response = HTTPResponse(connection)
    response.begin()
    response.read()
    return response.status


def test_a_body_that_comes_late_is_received(live):
    with connect(live, "http/1.1") as connection:
        connection.sendall(ANNOUNCED)
        time.sleep(0.5)  # the pace of whoever sends
        connection.sendall(b"grant_type")

        assert answer(connection) == HTTPStatus.BAD_REQUEST


def stall(live, stack, protocol):
    """A request on a connection of its own, whose body does not come."""
    connection = stack.enter_context(connect(live, protocol))
    if protocol == "h2":
        fields = ((b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", b"10"))
        headers = request(*fields, method=b"POST", path=b"/oauth/token")
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, headers))
    else:
        connection.sendall(ANNOUNCED)


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

    with connect(live, "http/1.1") as connection:  # and whoever sends a body is served again
        connection.sendall(ANNOUNCED + b"grant_type")
        assert answer(connection) == HTTPStatus.BAD_REQUEST
