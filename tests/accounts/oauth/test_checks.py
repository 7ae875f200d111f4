"""Each setting of the authorization server, put back to the library's default: the service does not start."""

import os
import re
import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from oauth2_provider import urls as library_urls
from oauth2_provider.settings import DEFAULTS

from accounts.oauth.checks import GATES, RULES, check_oauth
from config.startup import run_checks
from deploy.local.postgres import ROOT

#: The settings of which the library's default will not do; the others are as they have to be, or there is
#: none.
DEFAULT_IS_WRONG = [
    *GATES,
    "REFRESH_TOKEN_REUSE_PROTECTION",
    "ACCESS_TOKEN_EXPIRE_SECONDS",
    "REFRESH_TOKEN_EXPIRE_SECONDS",
    "ALLOWED_REDIRECT_URI_SCHEMES",
    "DEFAULT_SCOPES",
    "SCOPES_BACKEND_CLASS",
    "OIDC_ISS_ENDPOINT",
    "OAUTH2_GRANT_TYPES_SUPPORTED",
    "OAUTH2_RESPONSE_TYPES_SUPPORTED",
    "CLIENT_SECRET_HASHER",
    "OAUTH2_VALIDATOR_CLASS",
    "OAUTH2_BACKEND_CLASS",
]


def starts(capsys):
    """Whether the start-up checks let the process go on; what they said."""
    try:
        run_checks()
    except SystemExit as end:
        return end.code != 1, capsys.readouterr().err
    return True, ""


def test_there_are_ten_gates():
    assert len(GATES) == 10
    assert {name for name in DEFAULTS if name.startswith("COMPLIANT_BCP_RFC9700_")} == set(GATES)


def test_as_it_is_no_check_minds():
    assert check_oauth() == []


@pytest.mark.parametrize("name", DEFAULT_IS_WRONG)
def test_one_put_back_to_its_default_does_not_start(settings, capsys, name):
    left = {key: value for key, value in django_settings.OAUTH2_PROVIDER.items() if key != name}
    settings.OAUTH2_PROVIDER = left

    started, said = starts(capsys)

    assert not started
    assert f'OAUTH2_PROVIDER["{name}"]' in said
    (wanted,) = {check_id for check_id, setting, _, _ in RULES if setting == name}
    assert wanted in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROTATE_REFRESH_TOKEN", False),
        ("REFRESH_TOKEN_GRACE_PERIOD_SECONDS", 60),
        ("ALLOW_URI_WILDCARDS", True),
        ("OIDC_ENABLED", True),
        ("PKCE_REQUIRED", False),
        ("REQUEST_APPROVAL_PROMPT", "auto"),
        ("AUTHORIZATION_CODE_EXPIRE_SECONDS", 600),
        ("ACCESS_TOKEN_EXPIRE_SECONDS", 0),
        ("ACCESS_TOKEN_EXPIRE_SECONDS", "300"),
        ("OAUTH2_GRANT_TYPES_SUPPORTED", ["authorization_code", "password"]),
        ("CLIENT_SECRET_HASHER", "no-such-hasher"),
        ("SCOPES_BACKEND_CLASS", "no.such.Class"),
    ],
)
def test_one_loosened_does_not_start(settings, capsys, name, value):
    settings.OAUTH2_PROVIDER = {**django_settings.OAUTH2_PROVIDER, name: value}

    started, said = starts(capsys)

    assert not started
    assert f'OAUTH2_PROVIDER["{name}"]' in said


@pytest.mark.parametrize("lifetime", [None, 86_400, timedelta(0), timedelta(days=365)])
def test_a_family_without_an_end_does_not_start(settings, capsys, lifetime):
    settings.REFRESH_FAMILY_LIFETIME = lifetime

    started, said = starts(capsys)

    assert not started
    assert "oauth.E012" in said


def test_the_librarys_urls_do_not_start(settings, capsys):
    from config import urls

    class Mounted:
        urlpatterns = [
            *urls.urlpatterns,
            *library_urls.base_urlpatterns,
            *library_urls.management_urlpatterns,
        ]

    settings.ROOT_URLCONF = Mounted

    started, said = starts(capsys)

    assert not started
    assert "oauth.E013" in said
    assert "applications/register" in said


@pytest.mark.parametrize(("wildcards", "code"), [(False, 0), (True, 1)])
def test_the_real_process_ends(tmp_path, wildcards, code):
    """The application's module, in a process of its own with settings of its own."""
    (tmp_path / "loosened.py").write_text(
        "from config.settings import *\n"
        f"OAUTH2_PROVIDER = {{**OAUTH2_PROVIDER, 'ALLOW_URI_WILDCARDS': {wildcards}}}\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "loosened", "PYTHONPATH": f"{tmp_path}:{ROOT}"}

    done = subprocess.run(
        [sys.executable, "-c", "import config.asgi"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code, done.stderr
    assert ("oauth.E004" in done.stderr) is wildcards


def test_every_id_is_indexed():
    used = re.findall(r'"(oauth\.E\d{3})"', (ROOT / "accounts" / "oauth" / "checks.py").read_text())
    listed = re.findall(r"`(oauth\.E\d{3})`", (ROOT / "docs" / "controls" / "index.md").read_text())

    assert listed == sorted(set(used))
