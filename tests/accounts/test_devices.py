"""accounts.devices: guesses are limited, and the limit cannot be turned against its owner."""

import pytest

from accounts import devices
from tests import factories
from tests.clients import Page

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(acme):
    return factories.member("auditor", acme)


@pytest.fixture
def limits(settings):
    def limit(**rates):
        settings.THROTTLES = {**settings.THROTTLES, **rates}

    return limit


def known(user):
    """A browser in which ``user`` has signed in before."""
    page = Page(REMOTE_ADDR="192.0.2.10")
    page.sign_in(user)
    page.post("/sign-out", {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value})
    return page


def exhaust(user, attempts=8):
    return [
        Page(REMOTE_ADDR=factories.address()).enter_password(user, "wrong").status_code
        for _ in range(attempts)
    ]


@pytest.mark.asvs("6.3.1")
def test_an_attacker_from_many_addresses_does_not_keep_the_owner_out(alice, limits):
    victim = known(alice)
    limits(sign_in_account="3/6000")
    assert exhaust(alice)[-1] == 429

    assert victim.enter_password(alice).status_code == 303


def test_without_a_known_device_the_owner_would_wait(alice, limits):
    """What makes the test above one."""
    limits(sign_in_account="3/6000")
    exhaust(alice)

    assert Page(REMOTE_ADDR="192.0.2.10").enter_password(alice).status_code == 429


def test_guesses_from_a_known_device_are_limited_as_well(alice, limits):
    thief = known(alice)
    limits(sign_in_device="3/6000")

    assert [thief.enter_password(alice, "wrong").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_a_device_is_known_for_its_person_only(alice, acme, limits):
    """Mallory's own sign-in opens no bucket for guesses at Alice's password."""
    mallory = known(factories.member("auditor", acme))
    limits(sign_in_account="3/6000")
    exhaust(alice)

    assert mallory.enter_password(alice, "wrong").status_code == 429


@pytest.mark.parametrize("value", ["", "x", "e30:1:x", "a:b:c"])
def test_a_forged_cookie_is_none(alice, limits, value):
    limits(sign_in_account="3/6000")
    exhaust(alice)
    page = Page()
    page.cookies[devices.COOKIE] = value

    assert page.enter_password(alice, "wrong").status_code == 429


def test_it_is_set_after_the_last_step_only(acme):
    boss = factories.enrol(factories.member("org_admin", acme))
    page = Page()
    page.enter_password(boss)
    assert devices.COOKIE not in page.cookies
    page.enter_code()

    cookie = page.cookies[devices.COOKIE]
    assert cookie["secure"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/"
    assert boss.email not in cookie.value


def test_it_opens_no_session(alice):
    page = Page()
    page.cookies[devices.COOKIE] = known(alice).cookies[devices.COOKIE].value

    assert page.get("/docs").status_code == 302


def test_a_shared_computer_remembers_so_many(acme):
    page = Page()
    people = [factories.member("auditor", acme) for _ in range(devices.MAX_PEOPLE + 1)]
    for person in people:
        page.sign_in(person)
    request = page.get("/sign-in").wsgi_request

    assert not devices.known_device(request, people[0].email)
    assert all(devices.known_device(request, person.email) for person in people[1:])


@pytest.mark.asvs("6.3.1")
def test_spraying_one_password_over_accounts_is_limited_by_address(acme, limits):
    people = [factories.member("auditor", acme) for _ in range(4)]
    limits(sign_in_address="3/6000")
    page = Page(REMOTE_ADDR=factories.address())

    assert [page.enter_password(p, "wrong").status_code for p in people] == [200, 200, 200, 429]


def test_an_attacker_does_not_use_up_the_owners_codes(acme, limits):
    boss = factories.enrol(factories.member("org_admin", acme))
    victim = known(boss)
    limits(second_factor="2/6000")
    attacker = Page()
    attacker.enter_password(boss)
    assert [attacker.enter_code("000000").status_code for _ in range(3)] == [200, 200, 429]

    victim.enter_password(boss)
    assert victim.enter_code("000000").status_code == 200
