"""Callers for tests: of the API, and of the pages."""

import base64
import hashlib
import json
import re
import secrets
import uuid
from html import unescape
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from django.db import connection
from django.test import Client
from django.urls import Resolver404, resolve

from accounts import second_factor
from accounts.management.commands.demo_token import CODE_PATH, totp
from tests.factories import CALLBACK, PASSWORD, TOTP_SECRET
from tests.visibility import row_security_in_force

PROBLEM = "application/problem+json"
#: What somebody without credentials is told.
CHALLENGES = 'Bearer realm="api", DPoP realm="api", algs="ES256 PS256 EdDSA"'


class Api(Client):
    """An API caller over HTTPS with a bearer token."""

    def __init__(self, token: str | None = None, **defaults: Any) -> None:
        headers = {"HTTP_AUTHORIZATION": f"Bearer {token}"} if token else {}
        super().__init__(raise_request_exception=False, **{**headers, **defaults})

    def generic(self, method: str, path: str, *args: Any, **kwargs: Any) -> Any:
        kwargs["secure"] = not kwargs.pop("plain", False)
        # What the test client gives to read without a body is not the empty stream that a server gives.
        kwargs.setdefault("CONTENT_LENGTH", str(len(kwargs.get("data") or (args[0] if args else b""))))
        with row_security_in_force():
            return super().generic(method, path, *args, **kwargs)

    def send(self, method: str, path: str, body: Any = None, **kwargs: Any) -> Any:
        """A request with ``body`` as JSON, or none; with the headers that the rule asks for (``asked``)."""
        kwargs = {**asked(method, path), **kwargs}
        if body is None:
            return self.generic(method, path, **kwargs)
        data = body if isinstance(body, bytes) else json.dumps(body)
        return self.generic(method, path, data=data, content_type="application/json", **kwargs)


def asked(method: str, path: str) -> dict[str, str]:
    """A fresh Idempotency-Key and the object's version, where the rule of the action asks for them."""
    try:
        view, _, named = resolve(path.partition("?")[0])
        cls = view.cls
        rule = cls.rules[view.actions[method.lower()]]
    except (Resolver404, AttributeError, KeyError):
        return {}
    headers = {"HTTP_IDEMPOTENCY_KEY": str(uuid.uuid4())} if rule.idempotent else {}
    if rule.if_match:
        headers["HTTP_IF_MATCH"] = f'"{version(cls.queryset.model, named["id"])}"'
    return headers


def version(model: Any, public_id: str) -> int:
    """Of the row, whoever's it is; 1 where there is none. Past Django, so that no budget counts it."""
    connection.ensure_connection()
    row = connection.connection.execute(
        f"SELECT version FROM {model._meta.db_table} WHERE public_id::text = %s", [public_id]
    ).fetchone()
    return row[0] if row else 1


def faults(response: Any) -> set[tuple[str, str]]:
    """(pointer or parameter, code) of each entry of ``errors``."""
    return {(e.get("pointer", e.get("parameter")), e["code"]) for e in response.json()["errors"]}


def comparable(response: Any) -> tuple[int, bytes, dict[str, str]]:
    """An answer without what differs between any two: request id, Date, RateLimit."""
    own = response.headers.get("X-Request-ID", "")
    headers = {
        name.lower(): value
        for name, value in response.headers.items()
        if name.lower() not in {"x-request-id", "date", "ratelimit"}
    }
    return response.status_code, response.content.replace(own.encode(), b""), headers


class Page(Client):
    """A browser without scripts."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(enforce_csrf_checks=True, **kwargs)

    def generic(self, method: str, path: str, *args: Any, **kwargs: Any) -> Any:
        kwargs["secure"] = not kwargs.pop("plain", False)
        kwargs.setdefault("HTTP_REFERER", f"https://testserver{path}")
        with row_security_in_force():
            return super().generic(method, path, *args, **kwargs)

    def form(self, path: str) -> dict[str, str]:
        """The hidden and chosen fields of the form at ``path``."""
        page = self.get(path)
        assert page.status_code == 200, page.content
        found = re.findall(
            r'name="(csrfmiddlewaretoken|organisation|next)" value="([^"]*)"', page.content.decode()
        )
        return {name: unescape(value) for name, value in reversed(found)}

    def sign_in(self, user: Any, password: str = PASSWORD) -> Any:
        """The answer to the last step: the code's, of somebody with a second factor."""
        response = self.enter_password(user, password)
        if response.headers.get("Location") != CODE_PATH:
            return response
        return self.enter_code()

    def enter_password(self, user: Any, password: str = PASSWORD) -> Any:
        return self.post("/sign-in", {**self.form("/sign-in"), "username": user.email, "password": password})

    def enter_code(self, code: str | None = None, *, secret: str = TOTP_SECRET) -> Any:
        """``code``, or the one of this moment, by the clock that the service has."""
        form, step = self.form(CODE_PATH), second_factor.current_step()
        response = self.post(CODE_PATH, {**form, "code": code or totp(secret, second_factor.clock())})
        if not code and response.status_code == HTTPStatus.OK and second_factor.current_step() != step:
            return self.enter_code(secret=secret)  # its 30 seconds ended on the way
        return response

    def reauthenticate(self, **fields: str) -> Any:
        form = {**self.form("/reauthenticate"), "password": PASSWORD, **fields}
        return self.post("/reauthenticate", form)


class Flow:
    """One authorization code flow. ``changes`` overrides or, with None, drops parameters."""

    def __init__(self, page: Page, client: Any, scopes: str, **changes: Any) -> None:
        self.page = page
        self.client = client
        self.verifier = secrets.token_urlsafe(48)
        self.query = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": CALLBACK,
            "scope": scopes,
            "state": "some-state",
            "code_challenge": challenge(self.verifier),
            "code_challenge_method": "S256",
            **changes,
        }
        self.query = {name: value for name, value in self.query.items() if value is not None}

    @property
    def path(self) -> str:
        return f"/oauth/authorize?{urlencode(self.query, doseq=True)}"

    def decide(self, decision: str = "allow", **fields: Any) -> Any:
        """Consent; the redirect."""
        return self.page.post(self.path, {**self.page.form(self.path), "decision": decision, **fields})

    def push(self, headers: dict[str, str] | None = None, **changes: Any) -> Any:
        """Send the request ahead; if it is taken, this flow goes on with its name."""
        form = {name: value for name, value in {**self.query, **changes}.items() if value is not None}
        response = post_form("/oauth/par", form, **(headers or {}))
        if response.status_code == 201:
            self.query = {"client_id": self.client.client_id, "request_uri": response.json()["request_uri"]}
        return response

    def code(self) -> str:
        return answer(self.decide())["code"]

    def exchange(self, code: str, headers: dict[str, str] | None = None, **changes: Any) -> Any:
        """The token endpoint's answer."""
        form = {
            "grant_type": "authorization_code",
            "client_id": self.client.client_id,
            "redirect_uri": CALLBACK,
            "code": code,
            "code_verifier": self.verifier,
            **changes,
        }
        form = {name: value for name, value in form.items() if value is not None}
        return post_form("/oauth/token", form, **(headers or {}))


def post_form(path: str, form: Any, **headers: Any) -> Any:
    """A client's POST to an OAuth endpoint."""
    body = form if isinstance(form, str) else urlencode(form, doseq=True)
    with row_security_in_force():
        return Client(raise_request_exception=False).generic(
            "POST", path, body, content_type="application/x-www-form-urlencoded", secure=True, **headers
        )


def basic(client_id: str, secret: str) -> dict[str, str]:
    credentials = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    return {"HTTP_AUTHORIZATION": f"Basic {credentials}"}


def challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def answer(response: Any) -> dict[str, str]:
    """The parameters of an authorization response's redirect."""
    assert response.status_code in {302, 303}, response.content
    return {name: values[0] for name, values in parse_qs(urlsplit(response["Location"]).query).items()}
