"""docs/sign-in.md says what is so: its tables are compared with the settings and with what is mounted."""

import re
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth import get_backends
from django.urls import resolve

from config import settings as production
from deploy.local.postgres import ROOT
from security.policy import walk_routes

PAGE = (ROOT / "docs" / "sign-in.md").read_text()


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)[1]


def value(name):
    found = getattr(production, name, None)
    found = production.OAUTH2_PROVIDER[name] if found is None else found
    return int(found.total_seconds()) if isinstance(found, timedelta) else found


@pytest.mark.asvs("6.1.1")
def test_the_limits_of_guessing_are_the_settings():
    told = dict(re.findall(r"`THROTTLE_([A-Z_]+)` `(\d+/\d+)`", section("Guessing")))

    assert {name.lower(): rate for name, rate in told.items()} == {
        name: rate
        for name, rate in production.THROTTLES.items()
        if name.startswith(("sign_in", "second_factor", "reset"))
    }
    assert "### Lock-out that is turned against the owner" in section("Guessing")


@pytest.mark.asvs("7.1.1", "7.1.2", "7.1.3")
def test_the_lifetimes_of_sessions_and_tokens_are_the_settings():
    told = dict(re.findall(r"`([A-Z_]+) = (\d+)`", section("Sessions")))

    assert set(told) == {
        "SESSION_IDLE_SECONDS",
        "SESSION_COOKIE_AGE",
        "SESSIONS_PER_PERSON",
        "ACCOUNT_LOGIN_TIMEOUT",
        "AUTHORIZATION_CODE_EXPIRE_SECONDS",
        "ACCESS_TOKEN_EXPIRE_SECONDS",
        "REFRESH_TOKEN_EXPIRE_SECONDS",
        "REFRESH_FAMILY_LIFETIME",
    }
    assert {name: int(number) for name, number in told.items()} == {name: value(name) for name in told}


@pytest.mark.asvs("6.1.3", "6.3.4", "6.3.6", "7.2.2")
def test_the_ways_in_are_those_of_the_table():
    """No other backend, factor, scheme of the API, grant or page, so none that is weaker."""
    table = "\n".join(line for line in section("The steps").splitlines() if line.startswith("|"))

    def told(row):
        return set(re.findall(r"`([A-Za-z_]+)`", next(line for line in table.splitlines() if row in line)))

    assert [type(backend).__name__ for backend in get_backends()] == ["ModelBackend"]
    assert told("password, and") == set(settings.MFA_SUPPORTED_TYPES)
    assert settings.MFA_PASSKEY_LOGIN_ENABLED
    assert told("by the schemes") == {"Bearer", "DPoP"}
    for _, view in walk_routes():
        classes = getattr(getattr(view, "cls", None), "authentication_classes", [])
        assert {each.__name__ for each in classes} <= {"BearerAuthentication"}
    assert told("for a token, the grants" if "for a token, the grants" in table else "the grants") == set(
        settings.OAUTH2_PROVIDER["OAUTH2_GRANT_TYPES_SUPPORTED"]
    )
    pages = {path for path in re.findall(r"`(/[a-z/-]+)`", table) if path.startswith("/sign-in")}
    assert pages == {"/sign-in", "/sign-in/code", "/sign-in/passkey"}
    for path in pages:
        assert resolve(path)
    others = {f"/{route}" for route, _ in walk_routes() if route.startswith("sign-in")} - pages
    assert others == {"/sign-in/enrol", "/sign-in/abandon"}
