"""The service under fuzzing: granian over HTTPS, on this machine and on throw-away servers."""

import contextlib
import http.client
import io
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from deploy.local import certificates, server
from deploy.local.postgres import ROOT
from deploy.local.processes import Child

START_SECONDS = 60
#: An answer after this is a hang. The socket waits longer, so that a hang is told from a dead server.
HANG_SECONDS = 2.0
PATIENCE_SECONDS = 20.0


@dataclass(slots=True)
class Answer:
    """``status`` 0: the connection was closed without an answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    seconds: float


class Target:
    """The running service. ``environment`` is that of its process."""

    def __init__(self, directory: Path, port: int, environment: dict[str, str]) -> None:
        self.port = port
        self.log = directory / "service.log"
        tls = directory / "tls"
        certificates.ensure(tls)
        self.context = ssl.create_default_context(cafile=str(tls / "ca.pem"))
        command = server.command(port, tls)
        self.child = Child(command, log=self.log, stop_signal=15, env=environment, cwd=ROOT)  # type: ignore[arg-type]  # SIGTERM

    def wait(self) -> None:
        self.child.wait_until(self._answers, what="the service", seconds=START_SECONDS)

    def stop(self) -> None:
        self.child.stop()

    def memory(self) -> int:
        """Resident bytes of the workers, together."""
        return sum(_resident(pid) for pid in self.workers())

    def workers(self) -> list[int]:
        found = Path(f"/proc/{self.child.process.pid}/task/{self.child.process.pid}/children")
        return [int(pid) for pid in found.read_text().split() if _resident(int(pid)) > 20_000_000]

    def connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
        # Or the end of each body waits until the beginning is acknowledged.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.context.wrap_socket(plain, server_hostname="localhost")

    def _answers(self) -> bool:
        try:
            with self.connect() as line:
                line.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return b" 200 " in line.recv(100)
        except OSError:
            return False


class Line:
    """A connection that is kept while it can be."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.socket: ssl.SSLSocket | None = None

    def send(self, raw: bytes, method: str, *, last: bool) -> Answer:
        """``last``: hang up after the answer."""
        fresh = self.socket is None
        answer = self._send(raw, method)
        if answer.status == 0 and not fresh:  # a kept connection may have timed out
            answer = self._send(raw, method)
        if last:
            self.close()
        return answer

    def _send(self, raw: bytes, method: str) -> Answer:
        if self.socket is None:
            self.socket = self.target.connect()
        started = time.monotonic()
        try:
            # Who is refused before the end may not be listened to any more, and has an answer to read.
            with contextlib.suppress(ConnectionError):
                self.socket.sendall(raw)
            response = http.client.HTTPResponse(self.socket, method=method)
            response.begin()
            body = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return Answer(0, [], b"", time.monotonic() - started)
        answer = Answer(response.status, response.getheaders(), body, time.monotonic() - started)
        if response.will_close:
            self.close()
        return answer

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def _resident(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    for line in io.StringIO(status):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
