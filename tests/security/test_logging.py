"""security.logging."""

import io
import json
import logging
import os
import secrets
import subprocess
import sys

import pytest
import structlog
from django.db import DatabaseError, connection, transaction

from security.logging import PINNED, REDACTED, SECRET_KEYS, redact
from security.models import AuditEvent
from tests import factories
from tests.clients import Api, Page

pytestmark = pytest.mark.django_db


PLANTED = "hunter2" * 2


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


@pytest.mark.asvs("16.2.1", "16.2.4")
def test_a_request_is_one_json_line_with_its_id(api, lines):
    response = api.get("/v1/me")

    (line,) = [line for line in lines() if line["event"] == "request"]
    assert line["request_id"] == response["X-Request-ID"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "v1/me", 200)
    assert line["milliseconds"] > 0
    assert line["user"]


@pytest.mark.asvs("16.2.4")
def test_log_trail_and_answer_have_one_id(api, lines):
    response = api.get("/v1/me?unheard_of=1")

    (line,) = [line for line in lines() if line["event"] == "request"]
    (event,) = AuditEvent.objects.all()
    assert response.json()["instance"] == f"urn:uuid:{event.request_id}"
    assert line["request_id"] == response["X-Request-ID"] == str(event.request_id)


@pytest.mark.asvs("16.2.5")
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


@pytest.mark.asvs("16.4.1")
def test_a_line_break_in_input_forges_no_line(lines):
    logging.getLogger("test").warning('x\n{"event": "forged"}')

    assert [line["event"] for line in lines()] == ['x\n{"event": "forged"}']


@pytest.mark.parametrize("key", sorted(SECRET_KEYS))
def test_values_of_secret_keys_are_replaced(key):
    assert redact(None, "", {key: "hunter2", "event": "x"}) == {key: REDACTED, "event": "x"}


@pytest.mark.parametrize("name", PINNED)
def test_loggers_that_print_tokens_are_pinned(name):
    assert logging.getLogger(name).getEffectiveLevel() >= logging.WARNING


@pytest.mark.asvs("16.3.4")
def test_an_exception_is_logged_with_its_traceback(lines):
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        logging.getLogger("test").exception("it broke")

    (line,) = lines()
    assert "RuntimeError: boom" in line["exception"]


# --- what is in a traceback, and what is not ---


def logged(error, lines):
    try:
        raise error
    except type(error):
        logging.getLogger("test").exception("it broke")
    (line,) = lines()
    return line["exception"]


@pytest.mark.asvs("16.2.5")
def test_of_a_statement_that_fails_no_value_is_logged(lines):
    for statement in ("SELECT %s::int", "SELECT %s::date", "INSERT INTO auth_group (name) VALUES (%s), (%s)"):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement, [PLANTED] * statement.count("%s"))
        except DatabaseError:
            logging.getLogger("test").exception("it broke")

    assert len(lines()) == 3
    assert PLANTED not in json.dumps(lines())
    assert "auth_group_name_key" in lines()[2]["exception"]
    assert "psycopg.errors.UniqueViolation" in lines()[2]["exception"]


def test_the_services_own_secrets_are_replaced(lines, settings):
    planted = [f"planted-{secrets.token_hex(8)}" for _ in range(3)]
    settings.SIGNING_KEYS = [planted[0]]
    settings.EMAIL_HOST_PASSWORD = planted[1]
    settings.ENCRYPTION_KEYS = [f"2026-11:{planted[2]}"]
    own = [
        settings.SECRET_KEY,
        settings.DATABASES["default"]["PASSWORD"],
        settings.DATABASE_OWNER["PASSWORD"],
    ]
    text = logged(RuntimeError(f"{own} {' '.join(planted)}"), lines)

    assert text.count(REDACTED) == 6
    assert not [secret for secret in (*own, *planted) if secret in text.rpartition("\n")[2]]
    assert not [secret for secret in own if secret in text]


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("Bearer hunter2-hunter2", f"Bearer {REDACTED}"),
        ("DPoP hunter2.hunter2.hunter2, and more", f"DPoP {REDACTED}, and more"),
        ("postgresql://role:hunter2@db/name", f"postgresql://role:{REDACTED}@db/name"),
        ("redis://:hunter2@cache", f"redis://:{REDACTED}@cache"),
        ("__Host-session=hunter2; a=b", f"__Host-session={REDACTED}; a=b"),
    ],
)
def test_the_form_of_credentials_is_replaced(lines, message, kept):
    assert logged(RuntimeError(message), lines).endswith(f"RuntimeError: {kept}")
    logging.getLogger("test").warning(message)
    assert "hunter2" not in lines()[-1]["event"]


def test_the_whole_chain_is_logged_and_a_suppressed_part_is_not(lines):
    def fail():
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error

    try:
        try:
            fail()
        except ValueError:
            raise RuntimeError("third") from None
    except RuntimeError:
        logging.getLogger("test").exception("it broke")
    try:
        fail()
    except ValueError:
        logging.getLogger("test").exception("it broke")

    alone, both = (line["exception"] for line in lines())
    assert "third" in alone
    assert "builtins.ValueError" not in alone
    assert both.index("KeyError: 'first'") < both.index("ValueError: second")


def test_an_exception_that_cannot_say_what_it_is_is_logged(lines):
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError

    assert logged(MuteError(), lines).endswith("MuteError: (no message)")


@pytest.mark.parametrize(
    "call",
    [
        lambda api: api.get("/healthz", HTTP_HOST="evil.example"),
        lambda api: api.get("/sign-in?" + "&".join(["p=1"] * 1500)),
        lambda api: api.generic("POST", "/oauth/token", b"a", content_type="multipart/form-data; boundary=x"),
    ],
    ids=["host", "parameters", "multipart"],
)
def test_a_callers_own_fault_leaves_no_traceback(api, lines, capfd, call):
    assert call(api).status_code == 400

    assert lines()
    assert not [line for line in lines() if "exception" in line]
    assert "Traceback" not in capfd.readouterr().err


def test_djangos_loggers_obey_the_level_and_mail_nobody():
    assert logging.getLogger("django").handlers == []
    assert logging.getLogger("django").getEffectiveLevel() == logging.getLogger().getEffectiveLevel()


@pytest.mark.asvs("16.2.3")
def test_there_is_one_handler_and_it_writes_to_standard_error():
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    handlers = {handler for logger in loggers for handler in logger.handlers}
    ours = {h for h in handlers if type(h).__module__.partition(".")[0] not in {"_pytest", "pytest"}}

    assert {type(handler) for handler in ours} <= {logging.StreamHandler, logging.NullHandler}
    assert len([handler for handler in ours if type(handler) is logging.StreamHandler]) == 1


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
