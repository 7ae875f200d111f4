"""The command that serves an application over HTTPS on this machine."""

import sys
from pathlib import Path

WORKERS = 2


def command(
    port: int, tls: Path, *, application: str = "config.asgi:application", workers: int = WORKERS
) -> list[str]:
    """``tls`` is the directory of the certificate. As in the Dockerfile, but for host and port."""
    return [
        *(sys.executable, "-m", "granian", application),
        *("--interface", "asginl", "--loop", "uvloop", "--no-ws"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--workers", str(workers), "--workers-kill-timeout", "5"),
        *("--ssl-certificate", str(tls / "server.pem"), "--ssl-keyfile", str(tls / "server.key")),
    ]
