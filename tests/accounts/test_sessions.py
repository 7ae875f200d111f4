"""accounts.sessions: a row opens nothing, and a session ends when it should."""

from datetime import timedelta

import pytest
from django.contrib.auth import SESSION_KEY
from django.utils import timezone

from accounts.models import Session, User
from accounts.sessions import SEEN_SECONDS, SessionStore, digest
from tests import factories
from tests.clients import Page

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(acme):
    return factories.member("auditor", acme)


@pytest.fixture
def page(alice):
    page = Page(HTTP_USER_AGENT="Some browser/1.0", REMOTE_ADDR="192.0.2.7")
    page.sign_in(alice)
    return page


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        ahead = timedelta(0)

    monkeypatch.setattr(SessionStore, "clock", lambda: timezone.now() + Clock.ahead)
    return Clock


def signed_in(page):
    return page.get("/docs").status_code == 200


def test_the_row_has_the_digest_of_the_key_and_no_readable_data(page, alice):
    row = alice.sessions.get()
    key = page.cookies["__Host-session"].value

    assert row.session_key == digest(key)
    assert key not in row.session_data
    assert SESSION_KEY not in row.session_data


@pytest.mark.asvs("7.2.1")
@pytest.mark.parametrize("stolen", ["session_key", "session_data", "public_id"])
def test_nothing_of_the_row_opens_the_session(page, alice, stolen):
    thief = Page()
    thief.cookies["__Host-session"] = str(getattr(alice.sessions.get(), stolen))[:64]

    assert not signed_in(thief)


@pytest.mark.asvs("7.2.1")
def test_an_edited_cookie_opens_nothing(page):
    key = page.cookies["__Host-session"].value
    for position in (0, 15, -1):
        edited = list(key)
        edited[position] = "a" if edited[position] != "a" else "b"
        thief = Page()
        thief.cookies["__Host-session"] = "".join(edited)
        assert not signed_in(thief)


@pytest.mark.asvs("7.1.2")
def test_one_session_too_many_ends_the_least_lately_used(alice, settings):
    settings.SESSIONS_PER_PERSON = 3
    pages = [Page() for _ in range(4)]
    for page in pages[:3]:
        page.sign_in(alice)
    alice.sessions.filter(session_key=digest(pages[1].cookies["__Host-session"].value)).update(
        last_seen_at=timezone.now() - timedelta(minutes=10)
    )

    pages[3].sign_in(alice)

    assert [signed_in(page) for page in pages] == [True, False, True, True]


def test_data_moved_to_another_row_does_not_open(page, alice, acme):
    """Whoever can write the table, and not read ENCRYPTION_KEYS, cannot become somebody else."""
    victim_row = alice.sessions.get()
    mallory = Page()
    mallory.sign_in(factories.member("auditor", acme))
    own = Session.objects.exclude(user=alice).get(user__isnull=False)
    Session.objects.filter(pk=own.pk).update(session_data=victim_row.session_data, user=alice)

    assert not signed_in(mallory)


def test_the_row_says_whose_it_is_and_from_where(page, alice):
    row = alice.sessions.get()

    assert (row.address, row.user_agent, row.second_factor) == ("192.0.2.7", "Some browser/1.0", False)


def test_its_beginning_stays_when_the_key_changes(page, alice):
    before = alice.sessions.get()
    page.reauthenticate()
    after = alice.sessions.get()

    assert before.session_key != after.session_key
    assert before.public_id != after.public_id
    assert before.created_at == after.created_at


def test_its_name_stays_while_the_key_does(page, alice):
    before = alice.sessions.get()
    page.get("/account/totp")  # writes to the session
    after = alice.sessions.get()

    assert before.session_data != after.session_data
    assert before.public_id == after.public_id


def test_two_requests_at_once_may_both_change_the_key(page):
    key = page.cookies["__Host-session"].value
    one, other = SessionStore(key), SessionStore(key)
    one.load()
    other.load()
    one.cycle_key()
    other.cycle_key()

    assert one.session_key != other.session_key


@pytest.mark.asvs("7.3.1")
def test_it_ends_when_nothing_is_asked_of_it(page, settings, clock):
    clock.ahead = timedelta(seconds=settings.SESSION_IDLE_SECONDS + 1)

    assert not signed_in(page)


@pytest.mark.asvs("7.3.2")
def test_it_ends_whatever_is_asked_of_it(page, settings, clock):
    step = timedelta(seconds=settings.SESSION_IDLE_SECONDS - 60)
    steps = settings.SESSION_COOKIE_AGE // int(step.total_seconds())
    seen = []
    for _ in range(steps + 1):
        clock.ahead += step
        seen.append(signed_in(page))

    assert seen == [True] * steps + [False]


def test_when_it_was_seen_is_written_once_a_minute(page, alice, clock):
    def seen():
        assert signed_in(page)
        return alice.sessions.get().last_seen_at

    first = seen()
    clock.ahead = timedelta(seconds=SEEN_SECONDS - 10)
    assert seen() == first
    clock.ahead = timedelta(seconds=SEEN_SECONDS + 10)
    assert seen() > first


def test_a_new_password_ends_every_session(page, alice):
    alice.set_password("another long one of alice's")
    alice.save()

    assert not signed_in(page)
    assert alice.sessions.count() == 0


def test_deactivation_ends_every_session_for_good(page, alice):
    alice.is_active = False
    alice.save()
    alice.is_active = True
    alice.save()

    assert not signed_in(page)


def test_deactivation_past_the_model_ends_them_for_good_as_well(page, alice):
    User.objects.filter(pk=alice.pk).update(is_active=False)
    User.objects.filter(pk=alice.pk).update(is_active=True)

    assert not signed_in(page)


def test_signing_in_ends_no_other_session(page, alice):
    """A hash that is made anew at sign-in is no new password."""
    other = Page()
    other.sign_in(alice)

    assert signed_in(page)
    assert signed_in(other)
