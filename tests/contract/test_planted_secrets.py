"""Secrets planted where things go wrong, on every route: none is in an answer, in the log or in the trail."""

import base64
import io
import json
import logging
import secrets

import pytest
import structlog
from django.conf import settings as live_settings
from django.db import connection

from security.audit import AuditMiddleware
from security.json_parser import ORJSONRenderer
from security.logging import SECRET_SETTING
from security.models import AuditEvent
from security.policy import PolicyViewSet, walk_routes
from tests.answers import MIN_SECRET, RUN
from tests.clients import Api
from tests.contract.walk import example, header_parameters, operations

pytestmark = [pytest.mark.django_db, pytest.mark.broken]

named = {"ids": lambda operation: operation.name}


@pytest.fixture
def secret():
    return f"planted-{secrets.token_hex(12)}"


@pytest.fixture
def written(capfd):
    """What was logged since, and what else went to the process's output."""
    stream = io.StringIO()
    (handler,) = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter)
    ]
    before = handler.setStream(stream)
    yield lambda: stream.getvalue() + "".join(capfd.readouterr())
    handler.setStream(before)


def whole(response):
    headers = "\n".join(f"{name}: {value}" for name, value in response.headers.items())
    cookies = response.cookies.output() if response.cookies else ""
    return f"{response.reason_phrase}\n{headers}\n{cookies}\n{response.content.decode('utf-8', 'replace')}"


def trail():
    return json.dumps(list(AuditEvent.objects.values("event", "client_id", "target_type", "detail")))


def call(operation, team, **headers):
    sample = example(operation, team)
    path = operation.path(sample.target.public_id if sample.target else "")
    headers = {**header_parameters(operation, team, sample), **headers}
    return team.api(sample.role).send(operation.method, path, sample.body, **headers)


def raising(error):
    def fail(*args, **kwargs):
        raise error from ValueError(str(error))

    return fail


def failing(statement, value):
    def fail(*args, **kwargs):
        with connection.cursor() as cursor:
            cursor.execute(statement, [value] * statement.count("%s"))

    return fail


#: name → (what is replaced, of which operation).
PLACES = {
    "view": lambda operation: (operation.view.cls, operation.action),
    "serializer": lambda operation: (operation.rule.response or operation.view.cls, "to_representation"),
    "queryset": lambda operation: (PolicyViewSet, "_all"),
    "renderer": lambda operation: (ORJSONRenderer, "render"),
    "middleware": lambda operation: (AuditMiddleware, "__call__"),
}
STATEMENTS = (
    "SELECT %s::int",
    "SELECT %s::uuid",
    "INSERT INTO auth_group (name) VALUES (%s), (%s)",
    "INSERT INTO accounts_organisation (name) VALUES (%s)",
)


@pytest.mark.asvs("16.5.1", "16.5.4")
@pytest.mark.parametrize("operation", operations(), **named)
def test_in_an_exception(operation, us, secret, monkeypatch, written):
    """Wherever it is raised. Its message is the operators', so what must not be logged is what is known."""
    known = [value for _, value in secret_settings()]
    met = 0
    for find in PLACES.values():
        owner, name = find(operation)
        with monkeypatch.context() as broken:
            message = f"{secret} {known} Bearer {secret[::-1]}"
            broken.setattr(owner, name, raising(RuntimeError(message)), raising=False)
            response = call(operation, us)
        met += response.status_code == 500
        for planted in (secret, secret[::-1], *known):
            assert planted not in whole(response)

    assert met >= 2  # the view and the middleware, whatever the operation
    log = written()
    assert secret in log  # it was raised
    for planted in (secret[::-1], *known):
        assert planted not in log
    assert secret not in trail()


@pytest.mark.asvs("16.5.1")
@pytest.mark.parametrize("operation", operations(), **named)
def test_in_an_error_of_the_database(operation, us, secret, monkeypatch, written):
    for statement in STATEMENTS:
        with monkeypatch.context() as broken:
            broken.setattr(operation.view.cls, operation.action, failing(statement, secret))
            response = call(operation, us)
        assert response.status_code == 500
        assert secret not in whole(response)

    log = written()
    assert "psycopg.errors" in log
    assert secret not in log
    assert secret not in trail()


def secret_settings():
    """(name, value) of every setting that is named like a secret and has one."""
    for name in dir(live_settings):
        value = getattr(live_settings, name)
        for part in value if isinstance(value, list | tuple) else [value]:
            if SECRET_SETTING.search(name) and isinstance(part, str) and len(part) >= 12:
                yield name, part
    for name in ("DATABASE_OWNER", "DATABASE_OPS"):
        yield name, getattr(live_settings, name)["PASSWORD"]
    yield "DATABASES", live_settings.DATABASES["default"]["PASSWORD"]


def test_the_watch_knows_every_secret_setting(watched):
    for name, value in secret_settings():
        # A list of keys with their ids is known by its keys.
        runs = [run for run in RUN.findall(value) if len(run) >= MIN_SECRET] or [value]
        assert all(run in watched.secrets.runs or run in watched.secrets.texts for run in runs), name
    assert {"SECRET_KEY", "DATABASES"} <= {name for name, _ in secret_settings()}


HEADERS = (
    "HTTP_ACCEPT_LANGUAGE",
    "HTTP_COOKIE",
    "HTTP_IDEMPOTENCY_KEY",
    "HTTP_IF_MATCH",
    "HTTP_ORIGIN",
    "HTTP_PROXY_AUTHORIZATION",
    "HTTP_REFERER",
    "HTTP_USER_AGENT",
    "HTTP_X_API_KEY",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_USER",
)


def in_headers(secret):
    """Many at once, where one does not hide the others; each kind of credentials alone."""
    basic = base64.b64encode(f"client:{secret}".encode()).decode()
    cookie = f"__Host-session={secret}; __Host-csrf={secret}"
    yield {**dict.fromkeys(HEADERS, secret), "HTTP_COOKIE": cookie}
    yield {"HTTP_ACCEPT": secret}
    for credentials in (secret, f"Bearer {secret}", f"DPoP {secret}", f"Basic {basic}"):
        yield {"HTTP_AUTHORIZATION": credentials, "HTTP_DPOP": secret}


@pytest.mark.asvs("16.2.5")
@pytest.mark.parametrize("operation", operations(), **named)
def test_in_the_headers_the_query_and_the_body(operation, us, secret, written):
    for headers in in_headers(secret):
        assert secret not in whole(call(operation, us, **headers))
    sample = example(operation, us)
    path = operation.path(sample.target.public_id if sample.target else "")
    api = us.api(sample.role)
    body = sample.body or {}
    for query in (f"access_token={secret}", f"unheard_of={secret}", f"cursor={secret}", f"limit={secret}"):
        assert secret not in whole(api.send(operation.method, f"{path}?{query}", sample.body))
    if operation.method != "GET":
        bodies = [{**body, name: [secret]} for name in (*body, "unheard_of")]
        bodies += [{**body, name: {"a": secret}} for name in body] + [[secret], secret]
        for spoilt in (*bodies, f'{{"a": "{secret}'.encode()):
            assert secret not in whole(api.send(operation.method, path, spoilt))

    assert secret not in written()
    assert secret not in trail()


@pytest.mark.asvs("16.2.5")
def test_in_the_headers_of_what_is_not_api(secret, written):
    for route, view in walk_routes():
        if hasattr(view, "actions"):
            continue
        path = "/" + route.replace("<int:pk>", "1").replace("<slug:slug>", "x").replace("<str:", "<")
        for headers in (*in_headers(secret), {}):
            for method in ("GET", "POST"):
                form = f"client_secret={secret}&token={secret}&password={secret}&code={secret}"
                kind = {"content_type": "application/x-www-form-urlencoded"}
                response = Api().generic(method, path, form if method == "POST" else "", **kind, **headers)
                assert response.status_code < 500
                if not response.streaming:
                    assert secret not in whole(response), (route, method, list(headers))

    assert secret not in written()
    assert secret not in trail()
