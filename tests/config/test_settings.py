"""config.settings: production, which refuses to start on what is missing or unsafe."""

import os
import subprocess
import sys

import pytest
from oauth2_provider.settings import DEFAULTS

from config import settings as production
from deploy.local.postgres import ROOT

GOOD_KEY = "k3Jq9-ZmW8xTn2vB7yLr5Hc1Pd0Ga6Fs4Eu_QoIiXbNtVwYzRj"


def start(**changes):
    """``import config.asgi`` in a process of its own, with the environment changed; None unsets."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "SECRET_KEY": GOOD_KEY}
    for name, value in changes.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import config.asgi"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("changes", [{}, {"ADMIN": "on"}])
def test_complete_settings_start(changes):
    done = start(**changes)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SECRET_KEY": None}, "SECRET_KEY"),
        ({"SECRET_KEY": ""}, "SECRET_KEY is too short"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY is too short"),
        ({"SECRET_KEY": "a" * 80}, "SECRET_KEY is too short or too uniform"),
        ({"SECRET_KEY": "django-insecure-" + GOOD_KEY}, "SECRET_KEY is a placeholder"),
        ({"SECRET_KEY": "Please-Change-Me-" + GOOD_KEY}, "SECRET_KEY is a placeholder"),
        ({"ENCRYPTION_KEYS": None}, "ENCRYPTION_KEYS"),
        ({"ENCRYPTION_KEYS": GOOD_KEY}, "security.E085"),
        ({"BLIND_INDEX_KEY": None}, "BLIND_INDEX_KEY"),
        ({"BLIND_INDEX_KEY": GOOD_KEY}, "security.E087"),
        ({"DEBUG": "on"}, "DEBUG is on"),
        ({"DEBUG": "1"}, "DEBUG is on"),
        ({"DEBUG": "perhaps"}, "DEBUG must be on or off"),
        ({"ALLOWED_HOSTS": None}, "ALLOWED_HOSTS must list"),
        ({"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS must list"),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS must list"),
        ({"ALLOWED_HOSTS": ".example.com"}, "ALLOWED_HOSTS must list"),
        ({"PUBLIC_URL": None}, "PUBLIC_URL is not set"),
        ({"PUBLIC_URL": "http://api.example"}, "PUBLIC_URL must be an https:// origin"),
        ({"DATABASE_URL": None}, "DATABASE_URL"),
        ({"DATABASE_URL": ""}, "DATABASE_URL is empty"),
        ({"DATABASE_URL": "sqlite:///db.sqlite3"}, "DATABASE_URL must be postgresql://"),
        ({"EMAIL_URL": None}, "EMAIL_URL"),
        ({"EMAIL_URL": "mail.example"}, "EMAIL_URL must be smtps://"),
        ({"VALKEY_URL": None}, "VALKEY_URL"),
        ({"VALKEY_URL": "http://cache"}, "security.E031"),
        ({"THROTTLE_READ": "lots"}, "security.E030"),
        ({"THROTTLE_PAGE_ADDRESS": "lots"}, "security.E037"),
        ({"TRUSTED_PROXIES": "0.0.0.0/0"}, "security.E036"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL must be one of"),
        ({"CORS_ALLOWED_ORIGINS": "app.example"}, "corsheaders.E013"),
    ],
)
def test_what_is_missing_or_unsafe_ends_start_up_with_one_message(changes, message):
    done = start(**changes)

    assert done.returncode == 1
    assert "Portcullis does not start" in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert GOOD_KEY not in done.stderr


def test_one_role_for_the_service_and_the_owner_ends_start_up():
    done = start(DATABASE_OWNER_URL=os.environ["DATABASE_URL"])

    assert done.returncode == 1
    assert "security.E040" in done.stderr


def test_the_base_settings_are_production():
    assert production.DEBUG is False
    assert production.SESSION_COOKIE_SECURE
    assert production.CSRF_COOKIE_SECURE
    assert production.SECURE_HSTS_SECONDS >= 31_536_000
    assert production.STARTUP_FAIL_LEVEL == "WARNING"
    assert production.CORS_ALLOW_CREDENTIALS is False
    assert production.REST_FRAMEWORK["DEFAULT_PERMISSION_CLASSES"] == ["security.scopes.DenyAll"]
    assert production.REST_FRAMEWORK["DEFAULT_METADATA_CLASS"] is None


def test_every_compliance_gate_of_the_library_is_closed():
    gates = {name for name in DEFAULTS if name.startswith("COMPLIANT_BCP_RFC9700_")}

    assert len(gates) >= 10
    assert {name for name in gates if production.OAUTH2_PROVIDER.get(name) is not True} == set()


def test_manage_py_says_what_is_missing_without_a_traceback():
    environment = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "Portcullis does not start: Neither SECRET_KEY nor SECRET_KEY_FILE is set" in done.stderr
    assert "Traceback" not in done.stderr
