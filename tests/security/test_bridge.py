"""security.bridge."""

import asyncio
import json
import threading

import pytest

from security import bridge
from security.bridge import Bridge, environ_of
from security.headers import ALWAYS
from security.limits import HEADER_BYTES, TARGET_BYTES
from security.request_body import Body
from security.transport import UNREADABLE
from tests.clients import PROBLEM

SCOPE = {
    "type": "http",
    "http_version": "1.1",
    "method": "POST",
    "scheme": "https",
    "path": "/v1/\ufffd b",
    "raw_path": b"/v1/%ff%20b",
    "query_string": b"a=%C3%A4&b=\xe4",
    "headers": [],
    "server": ("127.0.0.1", "8443"),
    "client": ("192.0.2.1", "50000"),
}


def environ(*headers):
    return environ_of({**SCOPE, "headers": list(headers)})


class Answered:
    """What a WSGI application answers."""

    def __init__(self, *pieces, status="200 OK", headers=()):
        self.pieces, self.status, self.headers = pieces, status, list(headers)
        self.closed_in = []
        self.received = None

    def __call__(self, environ, start_response):
        self.received = environ["wsgi.input"].read()
        start_response(self.status, self.headers)
        return self

    def __iter__(self):
        yield from self.pieces

    def close(self):
        self.closed_in.append(threading.current_thread())


def call(application, sent=(), **scope):
    """What the server is told to send."""
    messages, body = [], list(sent)

    async def receive():
        return {"type": "http.request", "body": body.pop(0), "more_body": bool(body)}

    async def send(message):
        messages.append(message)

    asyncio.run(Bridge(application, threads=1)({**SCOPE, **scope}, receive, send))
    return messages


# --- requests ---


def test_a_request_is_told_as_it_came():
    told = environ()

    assert told["REQUEST_METHOD"] == "POST"
    assert told["PATH_INFO"] == "/v1/\xff b"  # bytes, as PEP 3333 carries them
    assert told["QUERY_STRING"] == "a=%C3%A4&b=\xe4"
    assert told["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert (told["SERVER_NAME"], told["SERVER_PORT"]) == ("127.0.0.1", "8443")
    assert told["REMOTE_ADDR"] == "192.0.2.1"
    assert told["wsgi.url_scheme"] == "https"


@pytest.mark.parametrize("slash", [b"%2F", b"%2f"])
def test_an_escaped_slash_separates_nothing(slash):
    """A gateway that closes /v1/audit-events sees another path, and so does the service."""
    told = environ_of({**SCOPE, "raw_path": b"/v1" + slash + b"a%20b%25"})

    assert told["PATH_INFO"] == f"/v1{slash.decode()}a b%"


def test_headers_are_told_by_name():
    told = environ((b"host", b"localhost"), (b"content-type", b"text/plain"), (b"content-length", b"3"))

    assert told["HTTP_HOST"] == "localhost"
    assert told["CONTENT_TYPE"] == "text/plain"
    assert told["CONTENT_LENGTH"] == "3"
    assert not {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"} & told.keys()


def test_a_header_that_came_twice_is_one():
    told = environ(
        (b"x-forwarded-for", b"192.0.2.1"),
        (b"cookie", b"a=1"),
        (b"x-forwarded-for", b"192.0.2.2"),
        (b"cookie", b"b=2"),
        (b"content-type", b"application/json"),
        (b"content-type", b"text/plain"),
    )

    assert told["HTTP_X_FORWARDED_FOR"] == "192.0.2.1,192.0.2.2"
    assert told["HTTP_COOKIE"] == "a=1; b=2"
    assert told["CONTENT_TYPE"] == UNREADABLE  # neither, nor both with a parameter in between


@pytest.mark.asvs("4.1.3")
def test_a_header_has_one_spelling():
    """``X_Forwarded_For`` would be the same name, and a gateway strikes out the other one."""
    told = environ((b"x_forwarded_for", b"192.0.2.9"), (b"content_length", b"3"), (b"x-a_b", b"c"))

    assert not [name for name in told if name.startswith(("HTTP_", "CONTENT_"))]


def test_what_is_too_much_is_counted_and_not_taken_in():
    """In HTTP/2 a byte names a header again: 256 kB are 262,144 of them, which took minutes to join."""
    told = environ_of({**SCOPE, "headers": [(b"x-name", b"x" * 31)] * 262_144})

    assert told[HEADER_BYTES] == 37 * 262_144
    assert "HTTP_X_NAME" not in told


def test_everything_counts_that_came_over_the_line(settings):
    path = b"/" + b"%F0%9F%98%80" * 100
    dropped = b"x" * settings.MAX_HEADER_BYTES

    told = environ_of({**SCOPE, "raw_path": path, "headers": [(b"x_padding", dropped)]})

    assert told[TARGET_BYTES] == len(path) + len(SCOPE["query_string"])
    assert told[HEADER_BYTES] > settings.MAX_HEADER_BYTES


def test_bytes_outside_of_ascii_are_kept():
    assert environ((b"x-name", b"\xc3\xa4\xff"))["HTTP_X_NAME"] == "\xc3\xa4\xff"


def test_a_body_is_received_first():
    application = Answered(b"")

    call(application, sent=[b"a=", b"b"], headers=[(b"content-length", b"3")])

    assert application.received == b"a=b"


@pytest.mark.parametrize("pieces", [(b"a",), (1,)], ids=["answered", "broken"])
def test_the_room_of_a_body_is_given_back(pieces):
    before = Body.room

    call(Answered(*pieces), sent=[b"a=b"], headers=[(b"content-length", b"3")])

    assert Body.room == before


def test_only_http_is_served():
    with pytest.raises(ValueError, match="websocket"):
        call(Answered(b""), type="websocket")


# --- answers ---


def test_an_answer_is_sent_whole():
    application = Answered(b"a", b"b", status="201 Created", headers=[("Location", "/x"), ("X-Name", "\xe4")])

    start, body = call(application)

    assert start["status"] == 201
    assert start["headers"] == [(b"location", b"/x"), (b"x-name", b"\xe4")]
    assert body["body"] == b"ab"
    assert not body["more_body"]


def test_an_answer_is_closed_where_it_was_made():
    """Django gives its connection back in the thread that closes."""
    application = Answered(b"a")

    call(application)

    (thread,) = application.closed_in
    assert thread is not threading.current_thread()


class Broken(Answered):
    """It breaks off in the middle."""

    def __iter__(self):
        yield b"a"
        raise RuntimeError("could not connect with hunter2")


def test_an_answer_that_breaks_off_is_closed_and_not_sent(caplog):
    application = Broken()

    start, body = call(application)

    assert len(application.closed_in) == 1
    assert start["status"] == 500
    assert dict(start["headers"])[b"content-type"] == PROBLEM.encode()
    problem = json.loads(body["body"])
    assert problem["status"] == 500
    assert b"hunter2" not in body["body"]
    (logged,) = caplog.records
    assert logged.instance == problem["instance"]
    assert logged.exc_info


@pytest.mark.parametrize("application", [Broken(), Answered(b"a", headers=[("Content-Length", "1")])])
def test_an_answer_to_head_has_no_body(application):
    """Whatever made it: not each of Django's answers can be emptied."""
    start, body = call(application, method="HEAD")

    assert body["body"] == b""
    assert b"content-length" in dict(start["headers"])


def test_a_problem_has_the_headers_of_every_answer():
    start, body = call(Broken())

    headers, problem = dict(start["headers"]), json.loads(body["body"])
    assert problem.keys() == {"type", "title", "status", "detail", "instance"}
    assert problem["instance"] == f"urn:uuid:{headers[b'x-request-id'].decode()}"
    assert {name.lower().encode() for name in ALWAYS} <= headers.keys()
    assert {b"strict-transport-security", b"content-security-policy"} <= headers.keys()
    assert headers[b"cache-control"] == b"no-store"


def test_what_would_wait_too_long_is_not_begun(monkeypatch):
    monkeypatch.setattr(bridge, "MAX_WAITING", 3)
    release, served = threading.Event(), []

    def application(environ, start_response):
        served.append(environ)
        release.wait(5)
        return Answered(b"")(environ, start_response)

    async def receive():
        raise AssertionError("nothing was announced")

    async def serve():
        answers = []

        async def send(message):
            if message["type"] == "http.response.start":
                answers.append(message)
                if len(answers) == 2:
                    release.set()

        front = Bridge(application, threads=1)
        await asyncio.gather(*(front(SCOPE, receive, send) for _ in range(5)))
        assert not front._waiting
        return answers

    answers = asyncio.run(serve())

    assert [answer["status"] for answer in answers] == [503] * 2 + [200] * 3
    assert dict(answers[0]["headers"])[b"retry-after"] == b"1"
    assert len(served) == 3


def test_requests_are_served_by_so_many_threads():
    """A fifth waits for one of four."""
    four, release = threading.Barrier(5), threading.Event()
    seen = []

    def application(environ, start_response):
        seen.append(threading.current_thread())
        if len(seen) <= 4:
            four.wait(5)
            release.wait(5)
        return Answered(b"")(environ, start_response)

    async def receive():
        raise AssertionError("nothing was announced")

    async def send(message):
        pass

    async def serve():
        bridge = Bridge(application, threads=4)
        requests = [asyncio.ensure_future(bridge(SCOPE, receive, send)) for _ in range(5)]
        await asyncio.to_thread(four.wait, 5)
        assert len(seen) == 4
        release.set()
        await asyncio.gather(*requests)

    asyncio.run(serve())
    assert len(seen) == 5
    assert len(set(seen)) == 4
