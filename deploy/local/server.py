"""How an application is served over HTTPS on this machine."""

import random
import socket
import sys
from pathlib import Path

WORKERS = 2
#: Below those that a system gives to outgoing connections: a server that starts again finds its own free.
PORTS = range(20_000, 32_000)


def command(
    port: int,
    tls: Path,
    *,
    application: str = "config.asgi:application",
    workers: int = WORKERS,
    module: str = "granian",
) -> list[str]:
    """``tls`` is the directory of the certificate. As in the Dockerfile, but for host and port.

    ``module`` is run, and starts Granian with its arguments.
    """
    return [
        *(sys.executable, "-m", module, application),
        *("--interface", "asginl", "--loop", "uvloop", "--no-ws", "--http2-max-headers-size", "65536"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--workers", str(workers), "--workers-kill-timeout", "5"),
        *("--ssl-certificate", str(tls / "server.pem"), "--ssl-keyfile", str(tls / "server.key")),
    ]


def free_port() -> int:
    """One that nobody listens on. Raises OSError where there is none."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")
