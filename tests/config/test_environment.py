"""config.environment."""

import re

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import environment as env
from deploy.local.postgres import ROOT


@pytest.fixture
def given(monkeypatch):
    return lambda **values: [monkeypatch.setenv(name, value) for name, value in values.items()]


def test_text_is_required_unless_there_is_a_default(given):
    given(X_TEXT="a")

    assert env.text("X_TEXT") == "a"
    assert env.text("X_MISSING", default="b") == "b"
    with pytest.raises(ImproperlyConfigured, match="X_MISSING is not set"):
        env.text("X_MISSING")


def test_a_secret_comes_from_a_file_or_a_variable_and_not_from_both(given, tmp_path):
    file = tmp_path / "secret"
    file.write_text("from the file\n")
    given(X_FILE=str(file))
    assert env.secret("X") == "from the file"

    given(X="from the variable")
    with pytest.raises(ImproperlyConfigured, match="Both X and X_FILE"):
        env.secret("X")


def test_a_secret_that_cannot_be_read_says_so_and_nothing_more(given, tmp_path):
    given(X_FILE=str(tmp_path / "nowhere"))
    with pytest.raises(ImproperlyConfigured, match=r"X_FILE cannot be read: FileNotFoundError\."):
        env.secret("X")
    with pytest.raises(ImproperlyConfigured, match="Neither Y nor Y_FILE"):
        env.secret("Y")


@pytest.mark.parametrize(
    ("text", "value"), [("on", True), ("TRUE", True), ("1", True), ("off", False), ("", False)]
)
def test_booleans(given, text, value):
    given(X=text)

    assert env.boolean("X", default=not value) is value


@pytest.mark.parametrize("text", ["maybe", "2", "onn"])
def test_what_is_no_boolean(given, text):
    given(X=text)

    with pytest.raises(ImproperlyConfigured, match="on or off"):
        env.boolean("X", default=False)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "ten", "\u0665", "0"])
def test_what_is_no_positive_integer(given, text):
    given(X=text)

    with pytest.raises(ImproperlyConfigured, match="whole number of at least 1"):
        env.integer("X", default=5, minimum=1)
    assert env.integer("X_MISSING", default=5) == 5


def test_items(given):
    given(X=" a, b ,,c ")

    assert env.items("X") == ["a", "b", "c"]
    assert env.items("X_MISSING", default="") == []


def test_choices(given):
    given(X="info")
    assert env.choice("X", default="A", choices=("INFO", "A")) == "INFO"
    given(X="loud")
    with pytest.raises(ImproperlyConfigured, match="X must be one of INFO, A"):
        env.choice("X", default="A", choices=("INFO", "A"))


@pytest.mark.parametrize(
    "text",
    ["http://a.example", "a.example", "https://", "https://u@a.example", "https://a.example/", "https://a?b"],
)
def test_what_is_no_https_origin(given, text):
    given(X=text)

    with pytest.raises(ImproperlyConfigured, match="https://"):
        env.https_origin("X")


def test_a_database(given):
    given(X="postgresql://us%40er:p%2Fw@db.example:5433/na%20me?sslmode=verify-full")

    assert env.database("X") == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "na me",
        "USER": "us@er",
        "PASSWORD": "p/w",
        "HOST": "db.example",
        "PORT": "5433",
        "OPTIONS": {"sslmode": "verify-full"},
    }


def test_a_database_behind_a_socket(given):
    given(X="postgresql://u:p@/name?host=/run/postgresql")

    found = env.database("X")

    assert (found["HOST"], found["OPTIONS"]) == ("/run/postgresql", {})


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///x",
        "mysql://u:p@h/n",
        "postgresql://h/n",
        "postgresql://u:p@h/",
        "postgresql://u:hunter2@h:x/n",
    ],
)
def test_what_is_no_database(given, text):
    given(X=text)

    with pytest.raises(ImproperlyConfigured) as refused:
        env.database("X")
    assert "hunter2" not in str(refused.value)


def test_a_database_may_be_optional(given):
    assert env.database("X", required=False) == {}
    with pytest.raises(ImproperlyConfigured, match="Neither X"):
        env.database("X")


def test_mail(given):
    given(X="smtps://us%40er:p%2Fw@mail.example")
    assert env.mail("X") == {
        "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "HOST": "mail.example",
        "PORT": 465,
        "HOST_USER": "us@er",
        "HOST_PASSWORD": "p/w",
        "USE_SSL": True,
        "USE_TLS": False,
    }
    given(X="smtp://mail.example:2525")
    assert {name: env.mail("X")[name] for name in ("PORT", "USE_SSL", "USE_TLS")} == {
        "PORT": 2525,
        "USE_SSL": False,
        "USE_TLS": True,
    }
    given(X="file:///var/mail/out")
    assert env.mail("X")["FILE_PATH"] == "/var/mail/out"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mail.example",
        "smtp://",
        "http://u:hunter2@mail.example",
        "smtps://u:hunter2@mail.example/path",
        "smtps://u:hunter2@mail.example:x",
        "file://",
        "file:///",
        "file://relative/path",
        "console:",
    ],
)
def test_what_is_no_mail_server(given, text):
    given(X=text)

    with pytest.raises(ImproperlyConfigured) as refused:
        env.mail("X")
    assert "hunter2" not in str(refused.value)


def test_every_variable_is_in_the_example_and_no_other():
    listed = set(re.findall(r"^#? ?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    read = {name for name in env.READ if not name.startswith("X") and name not in {"Y", "Y_FILE"}}
    secrets = {name.removesuffix("_FILE") for name in read if name.endswith("_FILE") and name != "DEMO_FILE"}
    secrets -= {"DEMO_CA"}
    # A secret is listed once, as its file.
    assert listed == (read - secrets) | {"DJANGO_SETTINGS_MODULE"}
