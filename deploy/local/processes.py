"""Child processes that end with their parent, however that one ends."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

PR_SET_PDEATHSIG = 1
# Loaded here: between fork and exec there is little that one may do.
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
UNPRIVILEGED = 65534  # "nobody": PostgreSQL refuses to run as root


class Failure(Exception):  # noqa: N818  what the user reads
    """A step that failed, in words for the user."""


class Child:
    """A server in a session of its own, so that Ctrl-C reaches it through us and in the right order."""

    def __init__(
        self,
        command: list[str],
        *,
        log: Path,
        stop_signal: signal.Signals,
        env: dict[str, str] | None = None,
        stdin: int | socket.socket = subprocess.DEVNULL,
        unprivileged: bool = False,
        cwd: Path | None = None,
    ) -> None:
        self.log = log
        self.stop_signal = stop_signal
        identity = {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []} if unprivileged else {}
        with log.open("ab") as output:
            self.process = subprocess.Popen(  # type: ignore[call-overload]  # the identity, by keyword
                command,
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
                preexec_fn=partial(end_with_parent, stop_signal),
                **identity,
            )

    def is_running(self) -> bool:
        return self.process.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, what: str, seconds: float) -> None:
        """Poll until ``ready``; raises Failure with the log's end when the child ends or time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if ready():
                return
            if not self.is_running():
                raise Failure(f"{what} ended while starting:\n{tail(self.log)}")
            time.sleep(0.05)  # between two looks at a server that is starting
        raise Failure(f"{what} did not answer within {seconds:.0f} s:\n{tail(self.log)}")

    def stop(self, seconds: float = 15) -> None:
        """Ask, wait, then insist."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def tail(log: Path, lines: int = 30) -> str:
    """The end of a log, without colours."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def end_with_parent(stop_signal: signal.Signals) -> None:
    """On Linux the kernel signals this process when its parent dies, so that even SIGKILL leaves nothing."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, int(stop_signal))
