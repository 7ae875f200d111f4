"""security.logging."""

import io
import json
import logging
import os
import subprocess
import sys

import pytest
import structlog

from security.logging import PINNED, REDACTED, SECRET_KEYS, redact
from tests import factories
from tests.clients import Api, Page

pytestmark = pytest.mark.django_db


@pytest.fixture
def lines():
    """The log lines written since, as objects; every one must be JSON."""
    written = io.StringIO()
    (handler,) = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter)
    ]
    before = handler.setStream(written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    handler.setStream(before)


def test_a_request_is_one_json_line_with_its_id(api, lines):
    response = api.get("/v1/me")

    (line,) = [line for line in lines() if line["event"] == "request"]
    assert line["request_id"] == response["X-Request-ID"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "v1/me", 200)
    assert line["milliseconds"] > 0
    assert line["user"]


def test_no_secret_reaches_the_log(acme, lines):
    user = factories.member("auditor", acme)
    token = factories.token(user, acme)
    Page().sign_in(user)
    Page().sign_in(user, "hunter2-hunter2-hunter2")
    Api(token).get("/v1/me?access_token=hunter2")
    Api().generic("POST", "/oauth/token", "code=hunter2", content_type="application/x-www-form-urlencoded")
    Api().get("/nowhere/hunter2?code=hunter2")

    text = json.dumps(lines())
    for secret in ("hunter2", factories.PASSWORD, token, user.email):
        assert secret not in text


def test_a_client_cannot_choose_the_request_id(api):
    response = api.get("/v1/me", HTTP_X_REQUEST_ID="01a20b51-1e4c-77a9-81e6-aaeaf2d023ae")

    assert response["X-Request-ID"] != "01a20b51-1e4c-77a9-81e6-aaeaf2d023ae"


def test_a_line_break_in_input_forges_no_line(lines):
    logging.getLogger("test").warning('x\n{"event": "forged"}')

    assert [line["event"] for line in lines()] == ['x\n{"event": "forged"}']


@pytest.mark.parametrize("key", sorted(SECRET_KEYS))
def test_values_of_secret_keys_are_replaced(key):
    assert redact(None, "", {key: "hunter2", "event": "x"}) == {key: REDACTED, "event": "x"}


@pytest.mark.parametrize("name", PINNED)
def test_loggers_that_print_tokens_are_pinned(name):
    assert logging.getLogger(name).getEffectiveLevel() >= logging.WARNING


def test_an_exception_is_logged_with_its_traceback(lines):
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        logging.getLogger("test").exception("it broke")

    (line,) = lines()
    assert "RuntimeError: boom" in line["exception"]


def test_an_unknown_level_ends_start_up():
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        env={**os.environ, "LOG_LEVEL": "LOUD"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "LOG_LEVEL" in done.stderr
