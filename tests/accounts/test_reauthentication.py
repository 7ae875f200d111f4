"""accounts.reauthentication: there and back, once, to this host only, with all that sign-in asks for."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory

from accounts import reauthentication, second_factor
from accounts.management.commands.demo_token import totp
from accounts.sessions import SessionStore
from tests import factories
from tests.clients import Page

pytestmark = pytest.mark.django_db

NOW = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
NEXT = "/oauth/authorize?client_id=x&prompt=login&state=s"


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = NOW

    monkeypatch.setattr(reauthentication, "clock", lambda: Clock.now)
    monkeypatch.setattr(second_factor, "clock", lambda: Clock.now.timestamp())
    return Clock


@pytest.fixture
def alice(acme):
    return factories.member("auditor", acme)


@pytest.fixture
def request_of(alice, clock):
    """A request in a session that authenticated at NOW."""
    request = RequestFactory().get(NEXT, secure=True)
    request.user, request.session = alice, SessionStore()
    request.session["auth_time"] = NOW.isoformat()
    return request


def test_a_recent_authentication_is_enough(request_of, clock):
    clock.now = NOW + timedelta(seconds=59)

    assert reauthentication.require(request_of, NEXT, max_age=timedelta(minutes=1)) is None


def test_an_older_one_is_not(request_of, clock):
    clock.now = NOW + timedelta(seconds=61)

    response = reauthentication.require(request_of, NEXT, max_age=timedelta(minutes=1))

    assert response.status_code == 302
    assert response["Location"].startswith("/reauthenticate?next=%2Foauth%2Fauthorize%3F")


@pytest.mark.parametrize("max_age", [timedelta(0), timedelta(seconds=1)])
def test_it_asks_once_and_does_not_loop(request_of, clock, max_age):
    clock.now = NOW + timedelta(seconds=10)
    assert reauthentication.require(request_of, NEXT, max_age=max_age) is not None
    clock.now += timedelta(seconds=20)
    reauthentication.remember(request_of, ["pwd"])
    clock.now += timedelta(seconds=20)

    # The page, and the form that it sends.
    assert reauthentication.require(request_of, NEXT, max_age=max_age) is None
    assert reauthentication.require(request_of, NEXT, max_age=max_age) is None


def test_what_was_asked_for_one_request_is_not_done_for_another(request_of, clock):
    reauthentication.require(request_of, NEXT)
    clock.now += timedelta(seconds=1)
    reauthentication.remember(request_of, ["pwd"])

    assert reauthentication.require(request_of, NEXT + "2") is not None


def test_coming_back_without_having_done_it_is_of_no_use(request_of, clock):
    clock.now += timedelta(seconds=1)
    reauthentication.require(request_of, NEXT)

    assert reauthentication.require(request_of, NEXT) is not None


def test_what_was_done_long_ago_is_asked_again(request_of, clock):
    reauthentication.require(request_of, NEXT)
    reauthentication.remember(request_of, ["pwd"])
    clock.now += timedelta(minutes=5, seconds=1)

    assert reauthentication.require(request_of, NEXT) is not None


def test_a_stranger_signs_in(request_of):
    request_of.user = AnonymousUser()

    assert reauthentication.require(request_of, NEXT)["Location"].startswith("/sign-in?next=/oauth/authorize")


def test_a_session_does_not_grow_by_being_asked(request_of):
    for number in range(50):
        reauthentication.require(request_of, f"{NEXT}{number}")

    assert len(request_of.session[reauthentication.ASKED]) == reauthentication.MAX_ASKED


# --- the page ---


@pytest.mark.asvs("7.2.4")
def test_it_moves_auth_time_and_changes_the_key(alice, clock):
    page = Page()
    page.sign_in(alice)
    before, key = page.session["auth_time"], page.cookies["__Host-session"].value
    clock.now = datetime.now(tz=UTC) + timedelta(minutes=10)

    response = page.reauthenticate(next="/docs")

    assert response.status_code == 303
    assert response["Location"] == "/docs"
    assert page.session["auth_time"] > before
    assert page.session["amr"] == ["pwd"]
    assert page.cookies["__Host-session"].value != key
    thief = Page()
    thief.cookies["__Host-session"] = key
    assert thief.get("/docs").status_code == 302


def test_the_password_alone_is_not_enough_for_who_has_a_second_factor(alice, clock):
    factories.enrol(alice)
    page = Page()
    page.sign_in(alice)
    before = page.session["auth_time"]
    clock.now += timedelta(seconds=30)

    assert page.reauthenticate().status_code == 200
    assert page.reauthenticate(code="000000").status_code == 200
    assert page.session["auth_time"] == before
    code = totp(factories.TOTP_SECRET, clock.now.timestamp())
    assert page.reauthenticate(code=code, password="wrong").status_code == 200
    assert page.reauthenticate(code=code).status_code == 303
    assert page.session["amr"] == ["pwd", "otp", "mfa"]


def test_guesses_at_it_are_limited(settings, alice):
    page = Page()
    page.sign_in(alice)
    settings.THROTTLES = {**settings.THROTTLES, "sign_in_device": "2/6000"}
    statuses = [page.reauthenticate(password="wrong").status_code for _ in range(3)]

    assert statuses == [200, 200, 429]


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_it_sends_nobody_elsewhere(alice, target):
    page = Page()
    page.sign_in(alice)

    assert page.reauthenticate(next=target)["Location"] == "/account"


@pytest.mark.asvs("7.5.1")
@pytest.mark.parametrize(
    "path", ["/account/totp", "/account/passkeys", "/account/password", "/account/email", "/account/email/x"]
)
def test_a_page_that_changes_the_account_needs_a_recent_authentication(alice, clock, path):
    page = Page()
    page.sign_in(alice)
    clock.now = datetime.now(tz=UTC) + timedelta(minutes=6)

    for response in (page.get(path), page.post(path, page.form("/reauthenticate"))):
        assert response.status_code in {302, 303}
        assert response["Location"].startswith(
            "/reauthenticate?next=/account/".replace("/account/", "%2Faccount%2F")
        )
