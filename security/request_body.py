"""Request body: received whole, and by so few threads at once that others are served meanwhile.

Threat: who announces a body and sends none holds the thread that waits for it: eight such requests ended the
service. Guarantee: no more than TURNS of the threads of a process wait for bodies at a time, whatever clients
send; requests without a body are served by the others. Who brings a body while every turn is taken by
somebody who stalls is answered 408. None longer than MAX_BODY_BYTES is received.

Settings: MAX_BODY_BYTES. OWASP API4:2023. ASVS 15.2.2. RFC 9110 section 15.5.9.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from threading import Condition
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation

#: Of the four threads that each process serves with. Granian's read has no end of its own.
TURNS = 3
#: Who has been waited for as long as this stalls. What was sent together with the headers is there at once.
STALLED_SECONDS = 0.25


class BodyNotReceived(SuspiciousOperation):
    """There was no turn to wait for the body: 408."""


class Turns:
    """To wait for a body: a number of them, which are not queued for behind those who stall."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._since: list[float] = []
        self._changed = Condition()

    @contextmanager
    def take(self) -> Iterator[bool]:
        """Whether there was one for this block: not if every one is taken by somebody who stalls."""
        with self._changed:
            while (full := len(self._since) == self._number) and (left := self._until_all_stall()) > 0:
                self._changed.wait(left)
            started = time.monotonic()
            if not full:
                self._since.append(started)
        try:
            yield not full
        finally:
            if not full:
                with self._changed:
                    self._since.remove(started)
                    self._changed.notify()

    def _until_all_stall(self) -> float:
        return max(self._since) + STALLED_SECONDS - time.monotonic()


turns = Turns(TURNS)


class Body:
    """``wsgi.input`` of a request: received whole when it is first read.

    Whoever asks granian for a number of bytes is served when they are there, and of a stream of HTTP/2 that
    broke off they never are: its thread goes round for ever. Asked for everything it notices.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        length = environ.get("CONTENT_LENGTH") or "0"
        self._source = environ["wsgi.input"]
        self._length = int(length) if length.isdecimal() else 0
        self._received: BytesIO | None = None

    def read(self, size: int = -1) -> bytes:
        """Raises RequestDataTooBig or BodyNotReceived."""
        return self._whole().read(size)

    def readline(self, size: int = -1) -> bytes:
        """As ``read``."""
        return self._whole().readline(size)

    def _whole(self) -> BytesIO:
        if self._received is None:
            if self._length > settings.MAX_BODY_BYTES:
                raise RequestDataTooBig
            self._received = BytesIO(self._receive() if self._length else b"")
        return self._received

    def _receive(self) -> bytes:
        with turns.take() as taken:
            if not taken:
                raise BodyNotReceived
            received: bytes = self._source.read()
            return received
