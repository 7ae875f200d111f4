"""The second factor: TOTP, recovery codes, who needs one, and the ways around it that there are not."""

import re

import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from django.db import connection

from accounts import second_factor, vault
from accounts.management.commands.demo_token import totp
from accounts.models import Membership, Session, User
from security.models import AuditEvent
from tests import factories
from tests.clients import Page

pytestmark = pytest.mark.django_db

NOW = 1_800_000_000.0


@pytest.fixture
def clock(monkeypatch):
    """Set ``clock.now``; codes are judged at that moment."""

    class Clock:
        now = NOW

    monkeypatch.setattr(second_factor, "clock", lambda: Clock.now)
    return Clock


@pytest.fixture
def boss(acme, clock):
    """Somebody whose role needs a second factor, and who has one."""
    return factories.enrol(factories.member("org_admin", acme))


def signed_in(page):
    return page.get("/docs").status_code == 200


def test_the_password_alone_signs_nobody_in(boss):
    page = Page()

    response = page.enter_password(boss)

    assert response.status_code == 303
    assert response["Location"] == "/sign-in/code"
    assert not signed_in(page)
    assert page.get("/account").status_code == 302
    assert page.get("/oauth/authorize").status_code == 302


def test_with_a_code_it_does(boss):
    page = Page()
    page.enter_password(boss)

    response = page.enter_code()

    assert response.status_code == 303
    assert response["Location"] == "/docs"
    assert signed_in(page)
    assert page.session["amr"] == ["pwd", "otp", "mfa"]


def test_a_password_alone_is_pwd(acme):
    page = Page()
    page.sign_in(factories.member("auditor", acme))

    assert page.session["amr"] == ["pwd"]
    assert page.session["auth_time"]


def test_the_target_is_kept_over_the_steps(boss):
    page = Page()
    form = page.form("/sign-in?next=/docs/openapi.yaml")
    page.post("/sign-in", {**form, "username": boss.email, "password": factories.PASSWORD})

    assert page.enter_code()["Location"] == "/docs/openapi.yaml"


@pytest.mark.parametrize(
    "code",
    ["", "000000", "12345", "abcdef", "0" * 32, "0" * 33, "\uff11\uff12\uff13\uff14\uff15\uff16", "a\x00b"],
)
def test_a_wrong_code_is_refused(boss, code):
    page = Page()
    page.enter_password(boss)

    response = page.post("/sign-in/code", {**page.form("/sign-in/code"), "code": code})

    assert response.status_code == 200
    assert b'role="alert"' in response.content
    assert not signed_in(page)


def test_a_code_is_good_once(boss, clock):
    code = totp(factories.TOTP_SECRET, clock.now)
    first, second = Page(), Page()
    first.enter_password(boss)
    second.enter_password(boss)

    assert first.enter_code(code).status_code == 303
    assert second.enter_code(code).status_code == 200
    assert not signed_in(second)
    clock.now += 30
    assert second.enter_code().status_code == 303


@pytest.mark.parametrize("steps", [-2, -1, 1, 2])
def test_a_code_of_another_half_minute_is_none(boss, clock, steps):
    page = Page()
    page.enter_password(boss)

    assert page.enter_code(totp(factories.TOTP_SECRET, clock.now + steps * 30)).status_code == 200


def test_guesses_at_the_code_are_limited(settings, boss):
    settings.THROTTLES = {**settings.THROTTLES, "second_factor": "3/6000"}
    page = Page()
    page.enter_password(boss)
    statuses = [page.enter_code("000000").status_code for _ in range(3)]

    assert statuses == [200, 200, 200]
    assert page.enter_code().status_code == 429
    again = Page()
    again.enter_password(boss)
    assert again.enter_code().status_code == 429


def test_the_steps_cannot_be_taken_without_the_password(boss):
    page = Page()

    assert page.get("/sign-in/code")["Location"] == "/sign-in"
    assert page.get("/sign-in/enrol")["Location"] == "/sign-in"
    page.get("/sign-in")
    token = page.cookies["__Host-csrf"].value
    for path in ("/sign-in/code", "/sign-in/enrol"):
        response = page.post(path, {"csrfmiddlewaretoken": token, "code": "000000"})
        assert response["Location"] == "/sign-in"


def test_the_second_step_is_not_anothers(boss, acme):
    """A code of the attacker's own, after the victim's password."""
    mallory = factories.member("org_admin", acme)
    second_factor.add_totp(mallory, "KRSXG5CTMVRXEZLU" * 2, used=False)
    page = Page()
    page.enter_password(boss)

    assert page.enter_code(totp("KRSXG5CTMVRXEZLU" * 2, NOW)).status_code == 200
    assert not signed_in(page)


def test_a_sign_in_may_not_rest_between_its_steps(settings, boss):
    settings.ACCOUNT_LOGIN_TIMEOUT = 0
    page = Page()
    page.enter_password(boss)

    assert page.get("/sign-in/code")["Location"] == "/sign-in"


def test_a_key_from_before_a_step_is_of_no_use_after_it(boss):
    page = Page()
    page.get("/sign-in")
    page.enter_password(boss)
    between = page.cookies["__Host-session"].value
    page.enter_code()

    assert page.cookies["__Host-session"].value != between
    thief = Page()
    thief.cookies["__Host-session"] = between
    assert not signed_in(thief)
    assert thief.get("/sign-in/code")["Location"] == "/sign-in"


def test_somebody_deactivated_between_the_steps_is_not_signed_in(boss):
    page = Page()
    page.enter_password(boss)
    boss.is_active = False
    boss.save()

    page.enter_code()

    assert not signed_in(page)


# --- recovery codes ---


@pytest.fixture
def codes(boss):
    """Recovery codes of the boss's, made as a person makes them."""
    page = Page()
    page.sign_in(boss)
    shown = page.post("/account/recovery-codes", page.form("/account/recovery-codes")).content.decode()
    return re.findall(r"<code>(\d{10})</code>", shown)


def test_ten_recovery_codes_are_shown_once(codes):
    assert len(set(codes)) == 10


def test_a_recovery_code_is_good_once_and_its_use_is_told(boss, codes):
    mail.outbox.clear()
    page, again = Page(), Page()
    page.enter_password(boss)
    again.enter_password(boss)

    assert page.enter_code(codes[3]).status_code == 303
    assert again.enter_code(codes[3]).status_code == 200
    assert [m.subject for m in mail.outbox] == ["A recovery code was used"]
    assert mail.outbox[0].to == [boss.email]
    assert again.enter_code(codes[4]).status_code == 303


def test_new_codes_void_the_old(boss, codes, clock):
    clock.now += 30
    page = Page()
    page.sign_in(boss)
    page.post("/account/recovery-codes", page.form("/account/recovery-codes"))

    other = Page()
    other.enter_password(boss)
    assert other.enter_code(codes[0]).status_code == 200


# --- who needs one ---


def test_who_needs_one_and_has_none_is_led_to_set_one_up(acme, clock):
    boss = factories.member("org_admin", acme)
    page = Page()

    response = page.enter_password(boss)

    assert response["Location"] == "/sign-in/enrol"
    for path in ("/docs", "/account", "/account/totp", "/oauth/authorize", "/reauthenticate"):
        assert page.get(path).status_code == 302, path
        assert page.get(path)["Location"].startswith("/sign-in"), path


def test_they_enrol_and_go_on(acme, clock):
    boss = factories.member("org_admin", acme)
    page = Page()
    page.post(
        "/sign-in",
        {
            **page.form("/sign-in?next=/docs/openapi.yaml"),
            "username": boss.email,
            "password": factories.PASSWORD,
        },
    )
    shown = page.get("/sign-in/enrol").content.decode()
    secret = re.search(r'class="secret">([A-Z2-7 ]+)<', shown)[1].replace(" ", "")
    code = totp(secret, clock.now)
    form = {"csrfmiddlewaretoken": re.search(r'csrfmiddlewaretoken" value="(\w+)"', shown)[1]}
    wrong = page.post("/sign-in/enrol", {**form, "code": "000000"})
    assert wrong.status_code == 200
    assert not signed_in(page)

    done = page.post("/sign-in/enrol", {**form, "code": code})

    assert done.status_code == 200
    assert len(re.findall(r"<code>\d{10}</code>", done.content.decode())) == 10
    assert 'href="/docs/openapi.yaml"' in done.content.decode()
    assert signed_in(page)
    assert page.session["amr"] == ["pwd", "otp", "mfa"]
    # The code that proved the device is spent by it.
    other = Page()
    other.enter_password(boss)
    assert other.enter_code(code).status_code == 200


def test_staff_need_one_whatever_their_role(acme):
    page = Page()

    response = page.enter_password(factories.member("auditor", acme, is_staff=True))

    assert response["Location"] == "/sign-in/enrol"


def test_others_do_not(acme):
    assert Page().enter_password(factories.member("auditor", acme))["Location"] == "/docs"


def test_a_session_without_one_ends_with_such_a_role(acme):
    user = factories.member("auditor", acme)
    page = Page()
    page.sign_in(user)
    membership = Membership.objects.get(user=user)
    membership.role = "org_admin"
    membership.save()

    assert not signed_in(page)
    assert page.enter_password(user)["Location"] == "/sign-in/enrol"


def test_a_session_without_one_ends_when_its_owner_becomes_staff(acme):
    user = factories.member("auditor", acme)
    page = Page()
    page.sign_in(user)
    user.is_staff = True
    user.save()

    assert not signed_in(page)


def test_the_last_factor_of_who_needs_one_stays(boss):
    page = Page()
    page.sign_in(boss)
    factor = Authenticator.objects.get(user=boss, type="totp")
    path = f"/account/factors/{factor.pk}/remove"

    assert page.get(path).status_code == 409
    response = page.post(path, {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value})

    assert response.status_code == 409
    assert Authenticator.objects.filter(pk=factor.pk).exists()


def test_who_needs_none_may_remove_it_and_is_told(acme, clock):
    user = factories.enrol(factories.member("auditor", acme))
    page = Page()
    page.sign_in(user)
    factor = Authenticator.objects.get(user=user)
    path = f"/account/factors/{factor.pk}/remove"

    response = page.post(path, page.form(path))

    assert response.status_code == 303
    assert not Authenticator.objects.filter(user=user).exists()
    assert mail.outbox[-1].subject == "Your second factor was changed"
    assert AuditEvent.objects.filter(event="account:factor:removed", actor=user.public_id).exists()


def test_anothers_factor_does_not_exist(boss, acme):
    other = factories.enrol(factories.member("auditor", acme))
    page = Page()
    page.sign_in(boss)

    assert page.get(f"/account/factors/{Authenticator.objects.get(user=other).pk}/remove").status_code == 404


# --- at rest ---


def test_nothing_at_rest_can_be_used(boss, codes):
    page = Page()
    page.enter_password(boss)
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(a)::text FROM mfa_authenticator a")
        rows = "".join(row[0] for row in cursor.fetchall())
        cursor.execute("SELECT row_to_json(s)::text FROM accounts_session s")
        rows += "".join(row[0] for row in cursor.fetchall())

    assert rows
    assert factories.TOTP_SECRET not in rows
    assert page.cookies["__Host-session"].value not in rows
    assert not [code for code in codes if code in rows]


def test_a_seed_moved_to_another_person_does_not_open(boss, acme):
    other = factories.member("auditor", acme)
    stolen = Authenticator.objects.get(user=boss, type="totp")
    moved = Authenticator.objects.create(user=other, type="totp", data=stolen.data)

    with pytest.raises(vault.CannotOpen):
        second_factor.accept_totp(moved, totp(factories.TOTP_SECRET, NOW))


def test_a_pending_seed_is_not_readable_in_the_session(acme, clock):
    boss = factories.member("org_admin", acme)
    page = Page()
    page.enter_password(boss)
    secret = re.search(r'class="secret">([A-Z2-7 ]+)<', page.get("/sign-in/enrol").content.decode())[1]
    stored = "".join(Session.objects.values_list("session_data", flat=True))

    assert secret.replace(" ", "") not in stored
    assert User.objects.get(pk=boss.pk).sessions.count() == 0
