"""security.request_body."""

import asyncio

import pytest
from django.core.exceptions import RequestDataTooBig

from security import request_body
from security.request_body import WHOLE_SECONDS, Body, BodyNotReceived
from tests import factories
from tests.clients import PROBLEM, Api

NEVER = 3600.0


class Clockwork(asyncio.SelectorEventLoop):
    """A loop whose time goes on when there is nothing to do, at once to when there is."""

    now = 0.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0].when())
        super()._run_once()


class Sender:
    """What a client sends: pieces, floats for pauses of so many seconds, None for a connection that ends."""

    def __init__(self, *sent, more=False):
        self.sent, self.more = list(sent), more
        self.asked = 0

    async def receive(self):
        self.asked += 1
        if not self.sent:
            await asyncio.sleep(NEVER)
        piece = self.sent.pop(0)
        while isinstance(piece, float):
            await asyncio.sleep(piece)
            piece = self.sent.pop(0)
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": self.more or bool(self.sent)}


def run(coroutine):
    with asyncio.Runner(loop_factory=Clockwork) as runner:
        return runner.run(coroutine)


def received(sender, **environ):
    body = Body()
    run(body.receive(sender.receive, environ))
    return body


def test_a_body_is_received_whole():
    body = received(Sender(b"a=", b"b\n", b"c"), CONTENT_LENGTH="5")

    assert [body.read(1), body.readline(), body.read(5), body.read()] == [b"a", b"=b\n", b"c", b""]


def test_it_is_whole_when_it_is_as_long_as_announced():
    """The server says that there is more until somebody asks."""
    sender = Sender(b"a=b", more=True)

    assert received(sender, CONTENT_LENGTH="3").read() == b"a=b"
    assert sender.asked == 1


@pytest.mark.parametrize("length", ["", "0", "00", "x", "-1", "+1", "1.0"])
def test_nothing_announced_is_nothing_waited_for(length):
    sender = Sender()

    assert received(sender, CONTENT_LENGTH=length).read() == b""
    assert sender.asked == 0


@pytest.mark.parametrize("sent", [(), (b"a",), (b"a", b"b"), (1.1, b"abc"), (b"a", 1.1, b"bc")], ids=repr)
def test_who_stalls_is_not_waited_for(sent):
    body = received(Sender(*sent, more=True), CONTENT_LENGTH="3")

    for read in (body.read, body.readline):
        with pytest.raises(BodyNotReceived):
            read()


def test_a_pause_between_pieces_is_no_stall():
    assert received(Sender(0.9, b"a", 0.9, b"b", 0.9, b"c"), CONTENT_LENGTH="3").read() == b"abc"


def test_who_sends_slowly_is_not_waited_for_without_end():
    sender = Sender(*[each for _ in range(100) for each in (0.9, b"a")])

    with pytest.raises(BodyNotReceived):
        received(sender, CONTENT_LENGTH="100").read()
    assert sender.asked == WHOLE_SECONDS // 0.9 + 1


@pytest.mark.parametrize("sent", [(None,), (b"a", None)], ids=["at once", "after a piece"])
def test_who_hangs_up_is_not_waited_for(sent):
    with pytest.raises(BodyNotReceived):
        received(Sender(*sent), CONTENT_LENGTH="3").read()


def test_a_body_that_is_shorter_than_announced_is_what_it_is():
    """HTTP/2 ends a stream where it likes. The parser judges."""
    assert received(Sender(b"a"), CONTENT_LENGTH="3").read() == b"a"


@pytest.mark.parametrize(
    "announced", [{"CONTENT_LENGTH": "9"}, {"HTTP_TRANSFER_ENCODING": "chunked"}], ids=repr
)
def test_a_body_longer_than_any_is_read_off_and_dropped(settings, announced):
    """Who is still sending does not listen."""
    settings.MAX_BODY_BYTES = 2
    sender = Sender(b"abc", b"def", b"ghi")

    body = received(sender, **announced)

    assert sender.sent == []
    with pytest.raises(RequestDataTooBig):
        body.read()


def test_it_is_not_read_off_without_end(settings, monkeypatch):
    monkeypatch.setattr(request_body, "READ_OFF_BYTES", 5)
    settings.MAX_BODY_BYTES = 2
    sender = Sender(*[b"abc"] * 10)

    with pytest.raises(RequestDataTooBig):
        received(sender, CONTENT_LENGTH="30").read()
    assert sender.asked == 2


# --- in so much room ---


@pytest.fixture
def room(monkeypatch):
    monkeypatch.setattr(Body, "room", 5)


@pytest.mark.usefixtures("room")
def test_a_body_for_which_there_is_no_room_is_not_received():
    first, second = (received(Sender(b"ab", b"c"), CONTENT_LENGTH="3") for _ in range(2))

    assert first.read() == b"abc"
    with pytest.raises(BodyNotReceived):
        second.read()
    assert Body.room == 2


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize(
    "sent",
    [(b"ab", b"c"), (b"a",), (b"a", None), (b"ab", b"cd", b"efgh")],
    ids=["whole", "stalled", "gone", "long"],
)
def test_room_is_given_back_once(sent, settings):
    settings.MAX_BODY_BYTES = 3
    body = received(Sender(*sent, more=True), CONTENT_LENGTH="3" if len(sent) < 3 else "8")

    body.close()
    body.close()

    assert Body.room == 5


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
