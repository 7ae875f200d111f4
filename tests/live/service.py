"""The service as users meet it: granian over HTTPS, with databases of its own."""

import http.client
import json
import os
import secrets
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy.local import certificates, server
from deploy.local.postgres import ROOT
from deploy.local.processes import Child
from tests import answers

START_SECONDS = 60


class Service:
    """A running service. ``environment`` adds to this process's own."""

    def __init__(self, directory: Path, environment: dict[str, str], *, root: Path = ROOT) -> None:
        self.directory = directory
        self.root = root
        self.port = server.free_port()
        answers.LIVE_PORTS.add(self.port)
        self.base_url = f"https://localhost:{self.port}"
        self.log = directory / "service.log"
        self.demo_file = directory / "demo.json"
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings.development",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "ENCRYPTION_KEYS": f"live:{secrets.token_urlsafe(32)}",
            "BLIND_INDEX_KEY": secrets.token_urlsafe(32),
            "ALLOWED_HOSTS": "localhost",
            "PUBLIC_URL": self.base_url,
            "DEMO": "on",
            "DEMO_FILE": str(self.demo_file),
            "DEMO_CA_FILE": str(directory / "tls" / "ca.pem"),
            **environment,
        }
        certificates.ensure(directory / "tls")
        self.context = ssl.create_default_context(cafile=str(directory / "tls" / "ca.pem"))
        self.child: Child | None = None

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            env=self.environment,
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def forget_factors(self, email: str) -> None:
        """Of somebody in whose name a test has set some up, or has broken off in the middle of it."""
        why = ("--operator", "the tests", "--proof", "they are one of the tests' own")
        command = [sys.executable, "manage.py", "reset_second_factor", email, *why]
        done = subprocess.run(
            command, env=self.environment, cwd=self.root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or "no second factor" in done.stderr, done.stdout + done.stderr

    def prepare(self) -> None:
        self.manage("migrate", "--verbosity=0")
        self.manage("seed_demo")

    def launch(self) -> Child:
        """Start granian without waiting for it."""
        command = server.command(self.port, self.directory / "tls")
        self.child = Child(command, log=self.log, stop_signal=15, env=self.environment, cwd=self.root)
        return self.child

    def start(self) -> "Service":
        self.launch().wait_until(self._answers, what="the service", seconds=START_SECONDS)
        return self

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop()
            self.child = None

    @property
    def demo(self) -> dict[str, Any]:
        return json.loads(self.demo_file.read_text())

    def client(self, client_id: str) -> dict[str, Any]:
        return next(client for client in self.demo["clients"] if client["client_id"] == client_id)

    def user(self, username: str) -> dict[str, Any]:
        return next(user for user in self.demo["users"] if user["username"] == username)

    def token(self, user: str, scope: str) -> str:
        """Through the real flow."""
        return self.manage("demo_token", "--user", user, "--scope", scope).strip()

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("localhost", self.port, context=self.context, timeout=30)

    def get(self, path: str, token: str = "", connection: http.client.HTTPSConnection | None = None) -> Any:
        """(status, headers, body) of a GET."""
        own = connection or self.connect()
        try:
            own.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
            response = own.getresponse()
            return response.status, response.headers, response.read()
        finally:
            if connection is None:
                own.close()

    def _answers(self) -> bool:
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False


def seconds_until(condition: Any, *, within: float, pause: float = 0) -> float:
    """How long it takes until ``condition()`` holds; fails after ``within`` seconds."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within
        time.sleep(pause)
    return time.monotonic() - started


def with_database(url: str, name: str) -> str:
    """``url`` with another database's name."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()
