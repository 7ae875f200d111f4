"""Request body: received whole before a thread serves the request, and not waited for without end.

Threat: who announces a body and sends none holds the thread that waits for it: eight such requests ended the
service. Guarantee: bodies are received by the event loop (security.bridge), so no thread waits for one. A
body that pauses for STALLED_SECONDS, or is not there after WHOLE_SECONDS, is not received: the request is
judged without it, and answered 408 where it would have been read. So is one for which there is no room: the
bodies of all requests of a process are kept in ROOM_BYTES. None longer than MAX_BODY_BYTES is kept; of a
longer one so much is read off that its sender, who would not listen before, hears the answer.

Settings: MAX_BODY_BYTES. OWASP API4:2023. ASVS 15.2.2. RFC 9110 section 15.5.9.
"""

import asyncio
from io import BytesIO
from typing import Any, ClassVar

from asgiref.typing import ASGIReceiveCallable
from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation

#: Until the first piece of a body, and from each to the next.
STALLED_SECONDS = 1.0
WHOLE_SECONDS = 10.0
#: So much of a body that is too long is received, and dropped.
READ_OFF_BYTES = 1024 * 1024
ROOM_BYTES = 32 * 1024 * 1024


class BodyNotReceived(SuspiciousOperation):
    """It did not come in time: 408."""


class Body:
    """``wsgi.input`` of a request: what was received, or why it was not."""

    #: Of all bodies of the process. The event loop's alone, so it needs no lock.
    room: ClassVar[int] = ROOM_BYTES

    def __init__(self) -> None:
        self._kept = bytearray()
        self._stream: BytesIO | None = None
        self._refused: Exception | None = None

    async def receive(self, receive: ASGIReceiveCallable, environ: dict[str, Any]) -> None:
        """What the headers in ``environ`` announce, in the pieces that ``receive`` gives."""
        length = _announced(environ)
        if length > settings.MAX_BODY_BYTES:
            self._refuse(RequestDataTooBig())
        try:
            await self._receive(receive, min(length, READ_OFF_BYTES))
        except (TimeoutError, ConnectionError):
            self._refuse(BodyNotReceived())

    async def _receive(self, receive: ASGIReceiveCallable, length: int) -> None:
        """Raises TimeoutError; ConnectionError where the client is gone."""
        loop = asyncio.get_running_loop()
        end = loop.time() + WHOLE_SECONDS
        seen = 0
        async with asyncio.timeout(STALLED_SECONDS) as deadline:
            while seen < length:
                message = await receive()
                if message["type"] != "http.request":
                    raise ConnectionError
                seen += len(message["body"])
                self._keep(message["body"])
                if not message["more_body"]:
                    break
                deadline.reschedule(min(loop.time() + STALLED_SECONDS, end))

    def _keep(self, piece: bytes) -> None:
        if self._refused is not None:
            return
        if len(self._kept) + len(piece) > settings.MAX_BODY_BYTES:
            self._refuse(RequestDataTooBig())
        elif len(piece) > Body.room:
            self._refuse(BodyNotReceived())
        else:
            Body.room -= len(piece)
            self._kept += piece

    def _refuse(self, why: Exception) -> None:
        self._refused = self._refused or why
        self.close()

    def close(self) -> None:
        """Make room for others."""
        Body.room += len(self._kept)
        self._kept = bytearray()

    # --- for who serves the request ---

    def read(self, size: int = -1) -> bytes:
        """Raises RequestDataTooBig or BodyNotReceived."""
        return self._opened().read(size)

    def readline(self, size: int = -1) -> bytes:
        """As ``read``."""
        return self._opened().readline(size)

    def _opened(self) -> BytesIO:
        if self._refused is not None:
            raise self._refused
        if self._stream is None:
            self._stream = BytesIO(self._kept)
        return self._stream


def _announced(environ: dict[str, Any]) -> int:
    """Bytes. What comes in chunks is refused for that (security.transport), but read off like the rest."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if length.isdecimal() and int(length):
        return int(length)
    return READ_OFF_BYTES if "HTTP_TRANSFER_ENCODING" in environ else 0
