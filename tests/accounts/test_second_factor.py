"""The second factor: TOTP, recovery codes, who needs one, and the ways around it that there are not."""

import json
import random
import re
import secrets

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import generate_totp_secret
from django.core import mail
from django.db import connection, transaction
from django.test import override_settings
from django.utils.http import http_date
from fido2.utils import websafe_decode

from accounts import second_factor
from accounts.management.commands.demo_token import totp
from accounts.models import Membership, Session, User
from config import settings as production
from security.encryption import CannotDecrypt
from security.models import AuditEvent
from tests import factories
from tests.accounts.oauth.test_token import at_once
from tests.clients import Api, Flow, Page, post_form
from tests.passkeys import Passkey

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


@pytest.mark.asvs("6.3.3")
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


@pytest.mark.asvs("6.5.1")
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


@pytest.mark.asvs("6.5.5")
@pytest.mark.parametrize("steps", [-2, -1, 1, 2])
def test_a_code_of_another_half_minute_is_none(boss, clock, steps):
    page = Page()
    page.enter_password(boss)

    assert page.enter_code(totp(factories.TOTP_SECRET, clock.now + steps * 30)).status_code == 200


@pytest.mark.asvs("6.5.8")
def test_the_callers_idea_of_the_time_does_not_count(boss, clock):
    page = Page(HTTP_DATE=http_date(NOW - 30))
    page.enter_password(boss)

    assert page.enter_code(totp(factories.TOTP_SECRET, NOW - 30)).status_code == 200
    assert page.enter_code(totp(factories.TOTP_SECRET, NOW)).status_code == 303


@pytest.mark.asvs("6.5.3")
def test_seeds_and_codes_come_from_the_systems_randomness(boss, monkeypatch):
    """Not from ``random``, which can be foretold; and not, unnoticed, from somewhere else."""
    drawn = []
    for name in ("token_bytes", "randbelow"):
        real = getattr(secrets, name)
        monkeypatch.setattr(secrets, name, lambda number, real=real: drawn.append(number) or real(number))
    random.seed(1)
    seeds, codes = [generate_totp_secret()], second_factor.new_recovery_codes(boss)
    random.seed(1)
    seeds.append(generate_totp_secret())

    assert seeds[0] != seeds[1]
    assert drawn == [20, *[10**10] * 10, 20]
    assert not set(codes) & set(second_factor.new_recovery_codes(boss))


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


@pytest.mark.asvs("7.2.4")
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


def new_password(user):
    user.set_password("another horse and no battery")
    user.save()


def deactivated(user):
    user.is_active = False
    user.save()


@pytest.mark.parametrize("end", [new_password, deactivated])
@pytest.mark.parametrize("enrolled", [True, False])
def test_a_sign_in_ends_between_its_steps_with_what_it_began_with(acme, clock, enrolled, end):
    """Whoever has the old password is not to go on with it, least of all to a second factor of their own."""
    boss = factories.member("org_admin", acme)
    page = Page()
    if enrolled:
        factories.enrol(boss)
    path = page.enter_password(boss)["Location"]
    shown = page.get(path).content.decode()
    form = {"csrfmiddlewaretoken": re.search(r'csrfmiddlewaretoken" value="(\w+)"', shown)[1]}
    secret = factories.TOTP_SECRET
    if not enrolled:
        secret = re.search(r'class="secret">([A-Z2-7 ]+)<', shown)[1].replace(" ", "")
    end(boss)

    response = page.post(path, {**form, "code": totp(secret, clock.now)})

    assert response["Location"] == "/sign-in"
    User.objects.filter(pk=boss.pk).update(is_active=True)
    assert not signed_in(page)
    assert page.get(path)["Location"] == "/sign-in"
    assert Authenticator.objects.filter(user=boss).exists() == enrolled


def test_who_waits_to_enrol_adds_no_factor_beside_one_that_came_first(acme, clock):
    """Somebody with the password waits at the last step until the owner has set up theirs."""
    boss = factories.member("org_admin", acme)
    thief = Page()
    thief.enter_password(boss)
    shown = thief.get("/sign-in/enrol").content.decode()
    secret = re.search(r'class="secret">([A-Z2-7 ]+)<', shown)[1].replace(" ", "")
    form = {"csrfmiddlewaretoken": re.search(r'csrfmiddlewaretoken" value="(\w+)"', shown)[1]}
    webauthn = Authenticator.objects.create(user=boss, type="webauthn", data={})

    response = thief.post("/sign-in/enrol", {**form, "code": totp(secret, clock.now)})

    assert response["Location"] == "/sign-in"
    assert not signed_in(thief)
    assert list(Authenticator.objects.filter(user=boss)) == [webauthn]


# --- recovery codes ---


@pytest.fixture
def codes(boss):
    """Recovery codes of the boss's, made as a person makes them."""
    page = Page()
    page.sign_in(boss)
    shown = page.post("/account/recovery-codes", page.form("/account/recovery-codes")).content.decode()
    return re.findall(r"<code>(\d{10})</code>", shown)


@pytest.mark.asvs("6.5.4")
def test_ten_recovery_codes_are_shown_once(codes):
    assert len(set(codes)) == 10
    assert {len(code) for code in codes} == {10}  # digits: 33 bits


@pytest.mark.asvs("6.5.2")
def test_what_is_kept_of_recovery_codes_are_slow_salted_hashes(boss):
    with override_settings(PASSWORD_HASHERS=production.PASSWORD_HASHERS):
        codes = second_factor.new_recovery_codes(boss)
        row = Authenticator.objects.get(user=boss, type="recovery_codes")
        assert set(row.data) == {"hashes"}
        assert all(each.startswith("argon2$argon2id$") for each in row.data["hashes"])
        assert len({each.split("$")[4] for each in row.data["hashes"]}) == len(codes)  # salts
        assert second_factor.accept_recovery_code(row, codes[7])
        assert not second_factor.accept_recovery_code(row, codes[7])
    row.refresh_from_db()
    assert second_factor.recovery_codes_left(row) == 9


@pytest.mark.django_db(transaction=True)
def test_of_parallel_uses_of_a_recovery_code_one_wins(boss):
    with transaction.atomic():
        code = second_factor.new_recovery_codes(boss)[0]
    row = Authenticator.objects.get(user=boss, type="recovery_codes")

    assert sorted(at_once(4, lambda: second_factor.accept_recovery_code(row, code))) == [False] * 3 + [True]


@pytest.mark.asvs("6.5.1", "6.4.4")
def test_a_recovery_code_is_good_once_and_its_use_is_told(boss, codes):
    mail.outbox.clear()
    page, again = Page(), Page()
    page.enter_password(boss)
    again.enter_password(boss)

    assert page.enter_code(codes[3]).status_code == 303
    assert again.enter_code(codes[3]).status_code == 200
    assert [m.subject for m in mail.outbox] == ["A recovery code was used"]
    assert mail.outbox[0].to == [boss.email]
    assert AuditEvent.objects.get(event="account:recovery-code:used").actor == boss.public_id
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


@pytest.mark.asvs("6.3.3")
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


def test_what_came_from_a_session_without_one_ends_with_such_a_role(acme, clock):
    user = factories.member("auditor", acme)
    page, client = Page(), factories.public_client()
    page.sign_in(user)
    flow = Flow(page, client, "account:read")
    tokens = flow.exchange(flow.code()).json()
    code = flow.code()
    strong = factories.token(user, acme)
    assert Api(tokens["access_token"]).get("/v1/me").status_code == 200

    membership = Membership.objects.get(user=user)
    membership.role = "org_admin"
    membership.save()

    assert Api(tokens["access_token"]).get("/v1/me").status_code == 401
    form = {"grant_type": "refresh_token", "client_id": client.client_id}
    refused = post_form("/oauth/token", {**form, "refresh_token": tokens["refresh_token"]})
    assert refused.json()["error"] == "invalid_grant"
    assert flow.exchange(code).json()["error"] == "invalid_grant"
    assert Api(strong).get("/v1/me").json()["role"] == "org_admin"


@pytest.mark.asvs("6.3.3")
@pytest.mark.parametrize("change", [lambda rows: rows.update(role="org_admin")])
def test_no_such_role_is_had_by_a_token_without_one(acme, change):
    """Whatever gave the role: here past every signal."""
    user = factories.member("auditor", acme)
    weak = factories.token(user, acme, acr="aal1", amr=["pwd"])
    assert Api(weak).get("/v1/me").status_code == 200

    change(Membership.objects.filter(user=user))

    response = Api(weak).get("/v1/me")
    assert response.status_code == 401
    assert 'error="insufficient_user_authentication"' in response["WWW-Authenticate"]
    assert 'acr_values="aal2 phr"' in response["WWW-Authenticate"]


@pytest.mark.asvs("7.4.3")
def test_a_changed_factor_ends_every_other_session_and_token(acme, clock):
    user = factories.enrol(factories.member("auditor", acme))
    page, other = Page(), Page()
    page.sign_in(user)
    clock.now += 30
    other.sign_in(user)
    token = factories.token(user, acme)
    path = f"/account/factors/{Authenticator.objects.get(user=user).pk}/remove"

    assert page.post(path, page.form(path)).status_code == 303

    assert signed_in(page)
    assert not signed_in(other)
    assert Api(token).get("/v1/me").status_code == 401


@pytest.mark.asvs("6.5.6")
def test_a_removed_device_lets_nobody_in(boss, clock):
    page = Page()
    page.sign_in(boss)
    lost = Authenticator.objects.get(user=boss, type="totp")
    passkey = Passkey()
    form = {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value, "name": "Key"}
    form["credential"] = passkey.registration(options_on(page, "/account/passkeys"))
    page.post("/account/passkeys", form)
    path = f"/account/factors/{lost.pk}/remove"
    assert page.post(path, page.form(path)).status_code == 303
    clock.now += 30

    assert page.enter_password(boss)["Location"] == "/sign-in/code"
    assert page.enter_code().status_code == 200
    assert not signed_in(page)
    assert signed_in(sign_in_with(passkey)[0])


@pytest.mark.django_db(transaction=True)
def test_of_the_last_two_factors_taken_away_at_once_one_stays(boss):
    page = Page()
    page.sign_in(boss)
    form = {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value, "name": "Key"}
    form["credential"] = Passkey().registration(options_on(page, "/account/passkeys"))
    page.post("/account/passkeys", form)
    factors = Authenticator.objects.filter(user=boss, type__in=second_factor.FACTORS)
    paths = [f"/account/factors/{factor.pk}/remove" for factor in factors]
    sent = [(path, page.form(path)) for path in paths]

    answers = at_once(2, lambda: page.post(*sent.pop()).status_code)

    assert sorted(answers) == [303, 409]
    assert factors.all().count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_form_that_sets_up_an_app_may_be_sent_twice_at_once(acme, clock):
    user = factories.member("auditor", acme)
    page = Page()
    page.sign_in(user)
    shown = page.get("/account/totp").content.decode()
    secret = re.search(r'class="secret">([A-Z2-7 ]+)<', shown)[1].replace(" ", "")
    form = {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value, "code": totp(secret, clock.now)}

    answers = at_once(4, lambda: page.post("/account/totp", form).status_code)

    assert sorted(answers) == [200, 303, 303, 303]
    assert Authenticator.objects.filter(user=user, type="totp").count() == 1
    codes = Authenticator.objects.get(user=user, type="recovery_codes")
    assert second_factor.recovery_codes_left(codes) == second_factor.CODES


@pytest.mark.parametrize("kind", ["totp", "recovery_codes"])
def test_a_factor_that_is_taken_away_at_the_same_moment_is_refused(boss, codes, kind, clock):
    """After it was looked for, and before it is locked."""
    factor = Authenticator.objects.get(user=boss, type=kind)
    Authenticator.objects.filter(pk=factor.pk).delete()

    if kind == "totp":
        assert not second_factor.accept_totp(factor, totp(factories.TOTP_SECRET, clock.now))
    else:
        assert not second_factor.accept_recovery_code(factor, codes[0])


@pytest.mark.django_db(transaction=True)
def test_of_passkeys_that_are_added_at_once_the_first_ends_the_other_sessions(acme, clock):
    user = factories.member("auditor", acme)
    pages, sent = [Page() for _ in range(4)], []
    for page in pages:
        page.sign_in(user)
        form = {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value, "name": "Key"}
        form["credential"] = Passkey().registration(options_on(page, "/account/passkeys"))
        sent.append((page, form))

    def add():
        page, form = sent.pop()
        return page.post("/account/passkeys", form).status_code

    answers = at_once(4, add)

    assert sorted(answers) == [200, 303, 303, 303]
    assert Authenticator.objects.filter(user=user, type="webauthn").count() == 1
    assert Authenticator.objects.filter(user=user, type="recovery_codes").count() == 1


def test_the_last_factor_of_who_needs_one_stays(boss):
    page = Page()
    page.sign_in(boss)
    factor = Authenticator.objects.get(user=boss, type="totp")
    path = f"/account/factors/{factor.pk}/remove"

    assert page.get(path).status_code == 409
    response = page.post(path, {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value})

    assert response.status_code == 409
    assert Authenticator.objects.filter(pk=factor.pk).exists()


@pytest.mark.asvs("6.3.7", "16.3.1")
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


# --- passkeys ---


def options_on(page, path):
    shown = page.get(path).content.decode()
    return json.loads(re.search(r"<script[^>]*json[^>]*>(.*?)</script>", shown)[1])


def sign_in_with(passkey):
    """A browser, and the answer."""
    page = Page()
    token = page.form("/sign-in")["csrfmiddlewaretoken"]
    credential = passkey.assertion(page.get("/sign-in/passkey").json())
    form = {"csrfmiddlewaretoken": token, "credential": credential}
    return page, form, page.post("/sign-in/passkey", form)


@pytest.fixture
def alice(acme):
    return factories.member("auditor", acme)


@pytest.fixture(params=[True, False], ids=["counts", "does not count"])
def passkey(alice, request):
    """Alice's, made on her page."""
    passkey, page = Passkey(counts=request.param), Page()
    page.sign_in(alice)
    credential = passkey.registration(options_on(page, "/account/passkeys"))
    form = {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value, "name": "Key", "credential": credential}
    assert page.post("/account/passkeys", form).status_code == 200
    return passkey


def test_a_passkey_signs_in_alone_and_again(alice, passkey):
    for _ in range(2):
        page, _, response = sign_in_with(passkey)
        assert response.status_code == 303
        assert signed_in(page)
        assert page.session["amr"] == ["hwk", "user", "mfa"]


def test_a_copy_of_a_passkey_that_counts_is_refused(alice, passkey):
    if not passkey.counts:
        assert sign_in_with(passkey.clone())[2].status_code == 303  # one key, several devices
        return
    copied = passkey.clone()
    assert sign_in_with(passkey)[2].status_code == 303

    page, _, response = sign_in_with(copied)

    assert response.status_code == 200
    assert b"That passkey could not be used" in response.content
    assert not signed_in(page)
    assert sign_in_with(passkey)[2].status_code == 303


@pytest.mark.asvs("6.7.2")
def test_a_challenge_is_random_and_answered_once(alice, passkey):
    challenges = {Page().get("/sign-in/passkey").json()["publicKey"]["challenge"] for _ in range(2)}
    assert len(challenges) == 2
    assert all(len(websafe_decode(challenge)) >= 16 for challenge in challenges)

    page, form, response = sign_in_with(passkey)
    assert response.status_code == 303
    page.post("/sign-out", {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value})
    form["csrfmiddlewaretoken"] = page.form("/sign-in")["csrfmiddlewaretoken"]

    assert page.post("/sign-in/passkey", form).status_code == 200  # the same answer
    page.get("/sign-in/passkey")
    assert page.post("/sign-in/passkey", form).status_code == 200  # to another challenge
    assert not signed_in(page)


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

    with pytest.raises(CannotDecrypt):
        second_factor.accept_totp(moved, totp(factories.TOTP_SECRET, NOW))


def test_a_pending_seed_is_not_readable_in_the_session(acme, clock):
    boss = factories.member("org_admin", acme)
    page = Page()
    page.enter_password(boss)
    secret = re.search(r'class="secret">([A-Z2-7 ]+)<', page.get("/sign-in/enrol").content.decode())[1]
    stored = "".join(Session.objects.values_list("session_data", flat=True))

    assert secret.replace(" ", "") not in stored
    assert User.objects.get(pk=boss.pk).sessions.count() == 0
