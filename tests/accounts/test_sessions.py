"""accounts.sessions: a row opens nothing, and a session ends when it should."""

from datetime import timedelta

import pytest
from django.contrib.auth import SESSION_KEY
from django.utils import timezone

from accounts import vault
from accounts.models import Session, User
from accounts.sessions import SEEN_SECONDS, SessionStore, digest
from accounts.signals import access_ended
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


@pytest.mark.parametrize("stolen", ["session_key", "session_data", "public_id"])
def test_nothing_of_the_row_opens_the_session(page, alice, stolen):
    thief = Page()
    thief.cookies["__Host-session"] = str(getattr(alice.sessions.get(), stolen))[:64]

    assert not signed_in(thief)


def test_data_moved_to_another_row_does_not_open(page, alice, acme):
    """Whoever can write the table, and not read SECRET_KEY, cannot become somebody else."""
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


def test_it_ends_when_nothing_is_asked_of_it(page, settings, clock):
    clock.ahead = timedelta(seconds=settings.SESSION_IDLE_SECONDS + 1)

    assert not signed_in(page)


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


def test_a_new_password_ends_every_session_and_says_so(page, alice):
    told = []
    access_ended.connect(receiver := lambda user, **kwargs: told.append(user))
    alice.set_password("another long one of alice's")
    alice.save()
    access_ended.disconnect(receiver)

    assert not signed_in(page)
    assert alice.sessions.count() == 0
    assert told == [alice]


def test_deactivation_ends_every_session_for_good(page, alice):
    alice.is_active = False
    alice.save()
    alice.is_active = True
    alice.save()

    assert not signed_in(page)


def test_deactivation_past_the_model_ends_them_as_well(page, alice):
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert not signed_in(page)


def test_signing_in_ends_no_other_session(page, alice):
    """A hash that is made anew at sign-in is no new password."""
    other = Page()
    other.sign_in(alice)

    assert signed_in(page)
    assert signed_in(other)


def test_a_former_secret_key_still_reads_and_no_longer_writes(settings):
    sealed = vault.seal("text", purpose="p", owner="1")
    former, settings.SECRET_KEY = settings.SECRET_KEY, "n" * 60
    with pytest.raises(vault.CannotOpen):
        vault.unseal(sealed, purpose="p", owner="1")
    settings.SECRET_KEY_FALLBACKS = [former]

    assert vault.unseal(sealed, purpose="p", owner="1") == "text"
    new = vault.seal("text", purpose="p", owner="1")
    settings.SECRET_KEY_FALLBACKS = []
    assert vault.unseal(new, purpose="p", owner="1") == "text"


@pytest.mark.parametrize(("purpose", "owner"), [("q", "1"), ("p", "2")])
def test_what_is_sealed_opens_for_its_purpose_and_owner_only(purpose, owner):
    sealed = vault.seal("text", purpose="p", owner="1")

    with pytest.raises(vault.CannotOpen):
        vault.unseal(sealed, purpose=purpose, owner=owner)


@pytest.mark.parametrize("value", ["", "text", "AAAA", "é", "A" * 40])
def test_what_was_never_sealed_does_not_open(value):
    with pytest.raises(vault.CannotOpen):
        vault.unseal(value, purpose="p", owner="1")
