"""``python -m lab.preloaded``: servers forked from a process that has loaded the application and checked it.

Loading and checking is most of a server's start, and is the same for each of the lab's. The arguments are
Granian's own. Standard input is a socket: each line is what the environment of a server has in addition, as
JSON. The server before it is stopped, the new one is started, and a line answers. At the end of the input the
last one is stopped; if one ends by itself, so does this process.
"""

import json
import os
import signal
import socket
import sys
from types import FrameType
from typing import NoReturn

from config.asgi import application  # the start-up checks have passed when this returns
from deploy.local.processes import end_with_parent

from django.db import connections  # isort: skip  # needs the application
from granian.cli import entrypoint  # isort: skip

__all__ = ["application"]


def main() -> None:
    connections.close_all()
    signal.signal(signal.SIGTERM, _end)
    server = 0
    with socket.socket(fileno=sys.stdin.fileno()) as runner, runner.makefile("rw") as orders:
        try:
            for order in orders:
                _stop(server)
                server = _start(json.loads(order))
                print(file=orders, flush=True)
        finally:
            _stop(server)


def _start(environment: dict[str, str]) -> int:
    """The process id of a new server."""
    signal.signal(signal.SIGCHLD, _end)
    server = os.fork()
    if server:
        return server
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        end_with_parent(signal.SIGTERM)
        os.environ.update(environment)
        entrypoint()  # type: ignore[no-untyped-call]  # Granian's
    finally:
        os._exit(1)  # what the parent left open is the parent's to close


def _stop(server: int) -> None:
    if server:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.kill(server, signal.SIGTERM)
        os.waitpid(server, 0)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(f"The lab's server ends: {signal.Signals(number).name}.")


if __name__ == "__main__":
    main()
