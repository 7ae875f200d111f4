"""security.request_body."""

import time
from contextlib import contextmanager
from io import BytesIO
from threading import Event, Thread

import pytest
from django.core.exceptions import RequestDataTooBig

from security import request_body
from security.request_body import TURNS, Body, BodyNotReceived, Turns
from tests import factories
from tests.clients import PROBLEM, Api


class Stalled:
    """What a client sends who announced a body: nothing, until the test lets it."""

    def __init__(self):
        self.asked, self.sent = Event(), Event()

    def read(self, size=-1):
        self.asked.set()
        self.sent.wait(10)
        return b""


@pytest.fixture(autouse=True)
def turns(monkeypatch):
    """Turns that nobody else has taken, and little patience."""
    own = Turns(TURNS)
    monkeypatch.setattr(request_body, "turns", own)
    monkeypatch.setattr(request_body, "STALLED_SECONDS", 0.05)
    return own


@pytest.fixture
def stalled():
    return Stalled()


def body(source, length, protocol="HTTP/1.1", **environ):
    return Body({"wsgi.input": source, "CONTENT_LENGTH": str(length), "SERVER_PROTOCOL": protocol, **environ})


# --- received ---


def test_a_body_is_received_whole_when_it_is_asked_for():
    source = BytesIO(b"a=b\nc")
    received = body(source, 5)
    assert source.tell() == 0

    assert [received.read(1), received.readline(), received.read(5), received.read()] == [
        b"a",
        b"=b\n",
        b"c",
        b"",
    ]


def test_a_body_longer_than_any_is_not_received(settings):
    settings.MAX_BODY_BYTES = 2
    source = BytesIO(b"a=b")

    with pytest.raises(RequestDataTooBig):
        body(source, 3).read()
    assert source.tell() == 0


@pytest.mark.parametrize("length", ["", "0", "x", "-1"])
def test_nothing_announced_is_nothing_waited_for(stalled, length):
    assert body(stalled, length).read() == b""
    assert not stalled.asked.is_set()


@contextmanager
def waiting_for(*sources):
    """A thread for each that waits for it."""
    threads = [Thread(target=_read, args=(body(source, 3),)) for source in sources]
    for thread, source in zip(threads, sources, strict=True):
        thread.start()
        assert source.asked.wait(5)
    try:
        yield
    finally:
        for source in sources:
            source.sent.set()
        for thread in threads:
            thread.join()


def _read(received):
    received.read()


def test_who_stalls_leaves_a_thread_to_others(stalled):
    """Nobody waits for a turn behind clients that send nothing."""
    with waiting_for(*(Stalled() for _ in range(TURNS))):
        for received in (body(stalled, 3), body(BytesIO(b"a=b"), 3)):
            started = time.monotonic()
            with pytest.raises(BodyNotReceived):
                received.read()
            assert time.monotonic() - started < 1

    assert not stalled.asked.is_set()
    assert body(BytesIO(b"a=b"), 3).read() == b"a=b"  # the turns are free again


def test_there_is_a_turn_while_one_does_not_stall():
    with waiting_for(*(Stalled() for _ in range(TURNS - 1))):
        assert body(BytesIO(b"a=b"), 3).read() == b"a=b"


def test_a_turn_is_waited_for_behind_who_does_not_stall(monkeypatch):
    """They have begun a moment ago: it will be over."""
    monkeypatch.setattr(request_body, "STALLED_SECONDS", 10)
    sources = [Stalled() for _ in range(TURNS)]

    with waiting_for(*sources):
        found = []
        late = Thread(target=lambda: found.append(body(BytesIO(b"a=b"), 3).read()))
        late.start()
        late.join(0.05)
        assert not found
        sources[0].sent.set()
        late.join(5)

    assert found == [b"a=b"]


def test_a_turn_is_given_back_by_who_fails(turns):
    class Broken:
        def read(self, size=-1):
            raise ConnectionError

    for _ in range(TURNS + 1):
        with pytest.raises(ConnectionError):
            body(Broken(), 3).read()


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/sign-in", "/oauth/token", "/v1/invitations"])
def test_it_is_answered_in_the_contracts_shape(acme, monkeypatch, path):
    def read(self, size=-1):
        raise BodyNotReceived

    monkeypatch.setattr("django.test.client.FakePayload.read", read)
    api = Api(factories.token(factories.member("org_admin", acme), acme))

    if path.startswith("/v1"):
        response = api.send("POST", path, {"email": "a@b.example", "role": "clerk"})
    else:
        response = api.generic("POST", path, b"a=b", content_type="application/x-www-form-urlencoded")

    assert response.status_code == 408
    assert response["Content-Type"] == PROBLEM
    assert response.json()["type"].endswith("/problems/body-timeout")
