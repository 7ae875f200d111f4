"""What an attacker and the people around have: HTTPS clients, tokens from the real flow, objects."""

import http.client
import json
import re
import secrets
import ssl
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg

from accounts.management.commands.demo_token import Browser

LOCAL = ("localhost", "127.0.0.1")
#: A token is used again for so long: it lives for five minutes.
TOKEN_SECONDS = 120
#: The tables of objects that have a version.
VERSIONED = """
SELECT table_name FROM information_schema.columns
 WHERE column_name IN ('public_id', 'version') GROUP BY table_name HAVING count(*) = 2
"""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body or b"null")

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


class World:
    """The service under attack, on loopback only.

    ``demo`` is the content of its demo file, ``mail`` the directory that it writes mails to, ``log`` the file
    that it logs to; ``database_url`` opens its database as a copy of it would lie around, and ``outage``
    takes that away for the length of a block.
    """

    def __init__(
        self,
        base_url: str,
        ca_file: str,
        demo: dict[str, Any],
        mail: Path | None = None,
        *,
        tokens: dict[tuple[str, str], tuple[float, str]] | None = None,
        database_url: str = "",
        log: Path | None = None,
        outage: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        host, _, port = base_url.removeprefix("https://").partition(":")
        if host not in LOCAL:
            raise ValueError(f"{host} is not this machine: the lab attacks its own service only")
        self.base_url = base_url
        self.ca_file = ca_file
        self.demo = demo
        self.database_url = database_url
        self.mail = mail or Path("/nonexistent")
        self.log = log or Path("/nonexistent")
        self.outage = outage
        self.host, self.port = host, int(port)
        self.context = ssl.create_default_context(cafile=ca_file)
        # Of all servers of a run: they share the database, and whoever has a second factor signs in with a
        # code that is good once in 30 seconds.
        self.tokens = {} if tokens is None else tokens

    # --- people ---

    def user(self, who: str) -> dict[str, Any]:
        """``clerk@acme`` and the like."""
        return next(user for user in self.demo["users"] if user["username"].startswith(f"{who}."))

    def token(self, who: str, scope: str = "") -> str:
        """A token of theirs, with every scope of the demo's client unless told otherwise."""
        client = next(client for client in self.demo["clients"] if client["client_id"] == "demo-web")
        scope = scope or " ".join(client["scopes"])
        issued, token = self.tokens.get((who, scope), (0.0, ""))
        if time.monotonic() - issued > TOKEN_SECONDS or not token:
            user, browser = self.user(who), Browser(self.base_url, self.ca_file)
            browser.sign_in(user["username"], user["password"], user["totp_secret"])
            code, verifier = browser.authorize(client, scope)
            token = browser.exchange(client, code, verifier)["access_token"]
            self.tokens[who, scope] = (time.monotonic(), token)
        return token

    # --- requests ---

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """One request on a connection of its own; ``content_type`` is sent as Content-Type, and so on."""
        connection = http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body=body or None, headers=named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def call(
        self, who: str, method: str, path: str, body: Any = None, *, scope: str = "", **headers: str
    ) -> Answer:
        """An API call of theirs, with a JSON body or raw bytes."""
        return self.call_with(self.token(who, scope), method, path, body, **headers)

    def call_with(self, token: str, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """An API call with some token. It has a new Idempotency-Key, and whoever is asked for a version that
        they did not give finds out the present one: versions are small numbers, and guessed.
        """
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if raw else {}
        own = {"Authorization": f"Bearer {token}", "Idempotency_Key": str(uuid.uuid4()), **kind, **headers}
        answer = self.send(method, path, raw, **own)
        if answer.status == HTTPStatus.PRECONDITION_REQUIRED and "If_Match" not in headers:
            answer = self.send(method, path, raw, **own, If_Match=f'"{self.version(path)}"')
        return answer

    def version(self, path: str) -> int:
        """Of the object whose public id is in ``path``; 1 if there is none."""
        (public_id,) = re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", path)[:1] or [""]
        for (table,) in self.dump(VERSIONED):
            for (version,) in self.dump(f"SELECT version FROM {table} WHERE public_id::text = '{public_id}'"):
                return int(version)
        return 1

    def guess(self, username: str, password: str, **headers: str) -> Answer:
        """One attempt to sign in, with a fresh form."""
        page = self.send("GET", "/sign-in")
        cookie = page.headers["Set-Cookie"].split(";")[0]
        csrf = page.body.split(b'name="csrfmiddlewaretoken" value="')[1].split(b'"')[0].decode()
        form = urlencode({"csrfmiddlewaretoken": csrf, "username": username, "password": password}).encode()
        return self.send(
            "POST",
            "/sign-in",
            form,
            Cookie=cookie,
            Referer=f"{self.base_url}/sign-in",
            Content_Type="application/x-www-form-urlencoded",
            **headers,
        )

    def start_session(self) -> str:
        """The key of a session that nobody is signed in to."""
        answer = self.send("GET", "/sign-in/passkey")
        cookie: str = answer.headers["Set-Cookie"]
        return cookie.split("__Host-session=")[1].split(";")[0]

    def dump(self, statement: str) -> list[Any]:
        """What a copy of the database shows to whoever finds it."""
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(statement.encode()).fetchall()

    def arrange(self, statement: str) -> None:
        """What has happened before the attack, such as that time has passed: straight into the database."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute(statement.encode())

    def mailed_link(self, address: str) -> str:
        """The path of the last link that was mailed to ``address``."""
        found = ""
        for file in sorted(self.mail.iterdir(), key=lambda file: file.stat().st_mtime_ns):
            text = file.read_text()
            if f"To: {address}\n" in text:
                found = text.split(self.base_url)[-1].split()[0]
        return found

    def unique(self, prefix: str) -> str:
        return f"{prefix} {secrets.token_hex(6)}"
