"""accounts.account: the password and the address, and the abuse of resetting and changing them."""

import re
from datetime import datetime, timedelta
from smtplib import SMTPServerDisconnected
from urllib.parse import urlsplit

import pytest
from django.contrib.auth import hashers
from django.core import mail, signing
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import devices, reauthentication
from accounts.account import EMAIL_SALT
from accounts.models import User
from security.models import AuditEvent
from tests import factories
from tests.accounts.oauth.test_token import at_once
from tests.clients import Api, Page

pytestmark = pytest.mark.django_db

NEW = "nine purple umbrellas walk"


@pytest.fixture
def alice(acme):
    return factories.member("auditor", acme)


@pytest.fixture
def page(alice):
    page = Page()
    page.sign_in(alice)
    return page


def signed_in(page):
    return page.get("/docs").status_code == 200


def link():
    """The path in the last mail."""
    return urlsplit(re.search(r"https://\S+/\S+/\S+", mail.outbox[-1].body)[0]).path


def ask_for_reset(email, **headers):
    page = Page(**headers)
    return page.post("/password-reset", {**page.form("/password-reset"), "email": email})


def follow(path):
    """The page behind a reset link, and where its form goes."""
    page = Page()
    response = page.get(path)
    return page, response.headers.get("Location", path), response


def set_password(path, password=NEW):
    page, target, response = follow(path)
    if response.status_code != 302:
        return response
    form = page.form(target)
    return page.post(target, {**form, "new_password1": password, "new_password2": password})


# --- change ---


def change(page, password=NEW, former=factories.PASSWORD):
    form = {**page.form("/account/password"), "old_password": former}
    return page.post("/account/password", {**form, "new_password1": password, "new_password2": password})


@pytest.mark.asvs("6.2.2", "6.3.7", "7.4.3")
def test_a_new_password_ends_every_session_and_is_told(page, alice):
    other = Page()
    other.sign_in(alice)

    response = change(page)

    assert response.status_code == 303
    assert response["Clear-Site-Data"] == '"cache", "storage"'
    assert not signed_in(page)
    assert not signed_in(other)
    assert Page().enter_password(alice).status_code == 200
    assert Page().enter_password(alice, NEW).status_code == 303
    assert [(m.subject, m.to) for m in mail.outbox] == [("Your password was changed", [alice.email])]
    assert AuditEvent.objects.filter(event="account:password:changed", actor=alice.public_id).exists()


@pytest.mark.asvs("6.2.3")
@pytest.mark.parametrize("former", ["", "wrong", factories.PASSWORD.upper()])
def test_the_password_so_far_is_asked_for(page, alice, former):
    assert change(page, former=former).status_code == 200
    assert signed_in(page)
    alice.refresh_from_db()
    assert alice.check_password(factories.PASSWORD)


def test_guesses_at_the_password_so_far_are_limited(page, settings):
    settings.THROTTLES = {**settings.THROTTLES, "sign_in_device": "2/6000"}

    assert [change(page, former="wrong").status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "fourteen chars",
        "PasswordPassword",
        "qwertyuiopasdfg",
        "Correct Horse Battery Staple",
        "Pass-Word-Pass-Word",
        "x" * 257,
    ],
)
def test_a_bad_password_is_refused(page, alice, password):
    assert change(page, password).status_code == 200
    assert signed_in(page)
    alice.refresh_from_db()
    assert alice.check_password(factories.PASSWORD)


def test_it_may_not_be_ones_own_address(page, alice):
    assert change(page, alice.email).status_code == 200


@pytest.mark.asvs("6.2.8")
@pytest.mark.parametrize(
    "password", ["k" * 5 + " ü漢字 " + "z" * 5, "aBcdeFgh1jKlm" * 19, "q7 w e r t y u  "]
)
def test_any_character_counts_and_the_end_as_well(page, alice, password):
    change(page, password)

    assert Page().enter_password(alice, password[:-1]).status_code == 200
    assert Page().enter_password(alice, password).status_code == 303


@pytest.mark.asvs("6.2.8")
@pytest.mark.parametrize(
    "wrong",
    [
        lambda password: password.strip(),
        lambda password: password.swapcase(),
        lambda password: password[:199] + "x" + password[200:],
        lambda password: password[:72],
    ],
)
def test_it_is_compared_whole_and_as_it_is(alice, wrong):
    password = " " + "aBcdeFgh1jK " * 18 + "end "
    alice.set_password(password)
    alice.save()

    assert Page().enter_password(alice, wrong(password)).status_code == 200
    assert Page().enter_password(alice, password).status_code == 303


@pytest.mark.asvs("6.2.9")
@pytest.mark.parametrize("length", [64, 128, 256])
def test_a_long_one_works_everywhere(page, alice, length):
    password = ("kq3v zanzibar " * 20)[:length]
    assert change(page, password).status_code == 303

    assert page.enter_password(alice, password).status_code == 303
    assert page.reauthenticate(password=password).status_code == 303
    assert change(page, NEW, former=password).status_code == 303


@pytest.mark.asvs("6.2.10")
def test_an_old_one_still_signs_in(alice):
    years_ago = timezone.now() - timedelta(days=5 * 365)
    User.objects.filter(pk=alice.pk).update(joined_at=years_ago, last_login=years_ago)

    assert Page().enter_password(alice)["Location"] == "/docs"


def test_a_mail_server_that_is_down_keeps_no_password_from_changing(page, alice, monkeypatch):
    def down(*args, **kwargs):
        raise SMTPServerDisconnected

    monkeypatch.setattr("accounts.mails.send_mail", down)

    assert change(page).status_code == 303
    alice.refresh_from_db()
    assert alice.check_password(NEW)


# --- reset ---


@pytest.mark.asvs("6.3.6")
def test_the_link_sets_a_password_and_signs_nobody_in(alice):
    ask_for_reset(alice.email.upper())

    response = set_password(link())

    assert response.status_code == 303
    assert response["Location"] == "/account/password/changed"
    assert Page().enter_password(alice, NEW).status_code == 303
    assert mail.outbox[-1].subject == "Your password was changed"


@pytest.mark.asvs("6.4.3")
def test_it_does_not_come_past_the_second_factor(acme):
    boss = factories.enrol(factories.member("org_admin", acme))
    ask_for_reset(boss.email)
    set_password(link())
    page = Page()

    assert page.enter_password(boss, NEW)["Location"] == "/sign-in/code"
    assert not signed_in(page)


def test_it_ends_every_session(page, alice):
    ask_for_reset(alice.email)
    set_password(link())

    assert not signed_in(page)


@pytest.mark.django_db(transaction=True)
def test_of_uses_of_a_link_at_once_one_sets_the_password(alice):
    ask_for_reset(alice.email)
    path, sent, passwords = link(), [], [f"the horse of thread {number}" for number in range(4)]
    for password in passwords:
        page = Page()
        target = page.get(path)["Location"]
        sent.append(
            (page, target, {**page.form(target), "new_password1": password, "new_password2": password})
        )

    def use():
        page, target, form = sent.pop()
        return page.post(target, form).status_code

    assert sorted(at_once(4, use)) == [303, 400, 400, 400]
    assert len(mail.outbox) == 2  # the link, and that the password was changed


@pytest.mark.asvs("9.1.1")
def test_a_link_works_once(alice):
    ask_for_reset(alice.email)
    path = link()
    set_password(path)

    assert set_password(path, NEW + " again").status_code == 400


@pytest.mark.asvs("9.1.1")
def test_a_link_with_another_byte_is_none(page, alice):
    ask_for_reset(alice.email)
    token = link().removeprefix("/password-reset/")
    assert page.get("/docs").status_code == 200  # who is signed in is not who resets
    ask_for_email(page, "new@example.org")
    confirmation = confirm_path().removeprefix("/account/email/")

    for path, text in (("/password-reset/", token), ("/account/email/", confirmation)):
        for position in (2, len(text) // 2, -1):
            spoilt = list(text)
            spoilt[position] = "A" if spoilt[position] != "A" else "B"
            assert page.get(path + "".join(spoilt)).status_code in {400, 404}


@pytest.mark.asvs("9.2.2", "9.1.2")
def test_what_is_signed_for_one_purpose_is_nothing_to_another(page, alice):
    ask_for_email(page, "new@example.org")
    confirmation = confirm_path().removeprefix("/account/email/")
    ask_for_reset(alice.email)
    uid, reset = link().split("/")[2:4]
    device = page.cookies["__Host-device"].value

    for text in (reset, device):
        assert page.get(f"/account/email/{text}").status_code == 400
    for text in (confirmation, device):
        assert Page().get(f"/password-reset/{uid}/{text}").status_code == 400
    for text in (confirmation, f"{uid}:{reset}"):
        stranger = Page()
        stranger.cookies["__Host-device"] = text
        assert not devices.known_device(stranger.get("/sign-in").wsgi_request, alice.email)
    for text in (confirmation, reset, device):
        assert Api(text).get("/v1/me").status_code in {400, 401}


@pytest.mark.parametrize("change_of", ["password", "email", "sign_in", "deactivation"])
def test_a_link_ends_with_what_it_was_for(alice, change_of):
    ask_for_reset(alice.email)
    path = link()
    if change_of == "password":
        alice.set_password("yet another long one")
    elif change_of == "email":
        alice.email = "elsewhere@example.org"
    elif change_of == "sign_in":
        Page().sign_in(alice)
    else:
        alice.is_active = False
    if change_of != "sign_in":
        alice.save()

    response = set_password(path)

    if change_of == "deactivation":
        assert not signed_in_with(alice, NEW)
    else:
        assert response.status_code == 400


def signed_in_with(user, password):
    page = Page()
    page.enter_password(user, password)
    return signed_in(page)


@pytest.mark.asvs("9.2.1")
def test_a_link_ends_within_the_hour(alice, monkeypatch):
    ask_for_reset(alice.email)
    path = link()
    later = datetime.now() + timedelta(minutes=61)  # noqa: DTZ005  as the library's own clock
    monkeypatch.setattr("django.contrib.auth.tokens.PasswordResetTokenGenerator._now", lambda self: later)

    assert set_password(path).status_code == 400


def test_a_link_is_for_its_owner(alice, acme):
    ask_for_reset(alice.email)
    mine = link()
    ask_for_reset(factories.member("auditor", acme).email)
    uid = link().split("/")[2]
    token = mine.split("/")[3]

    assert set_password(f"/password-reset/{uid}/{token}").status_code == 400


@pytest.mark.parametrize(
    "path", ["/password-reset/x/y", "/password-reset/%00/%00", "/password-reset/MQ/set-password"]
)
def test_what_is_no_link_is_refused(db, path):
    assert Page().get(path).status_code == 400


def test_the_link_carries_our_address_whatever_host_is_sent(alice, settings):
    settings.ALLOWED_HOSTS = ["*"]
    settings.PUBLIC_URL = "https://api.example"
    page = Page()
    form = page.form("/password-reset")
    page.post(
        "/password-reset",
        {**form, "email": alice.email},
        HTTP_HOST="evil.example",
        HTTP_REFERER="https://evil.example/",
    )

    assert mail.outbox
    assert "evil.example" not in mail.outbox[-1].body
    assert "https://api.example/password-reset/" in mail.outbox[-1].body


def test_the_token_is_nowhere_at_rest(alice):
    ask_for_reset(alice.email)
    path = link()
    follow(path)
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(row_to_json(s)::text, '') FROM accounts_session s")
        stored = cursor.fetchone()[0]

    assert path.split("/")[3] not in stored


def test_a_link_works_in_a_browser_that_is_signed_in_and_signs_it_out(alice):
    page = Page()
    page.sign_in(alice)
    page.post("/password-reset", {**page.form("/password-reset"), "email": alice.email})
    target = page.get(link())["Location"]

    done = page.post(target, {**page.form(target), "new_password1": NEW, "new_password2": NEW})

    assert done["Location"] == "/account/password/changed"
    assert done["Clear-Site-Data"] == '"cache", "storage"'
    assert page.get("/docs").status_code == 302


@pytest.mark.asvs("6.3.8")
def test_known_and_unknown_addresses_look_and_cost_the_same(alice, acme, monkeypatch):
    gone = factories.member("auditor", acme, is_active=False)
    hashed = []
    monkeypatch.setattr(hashers.MD5PasswordHasher, "encode", lambda *args: hashed.append(args))
    seen = []
    for email in (alice.email, "nobody@nowhere.example", gone.email):
        page = Page()
        form = {**page.form("/password-reset"), "email": email}
        mail.outbox.clear()
        hashed.clear()
        with CaptureQueriesContext(connection) as queries:
            response = page.post("/password-reset", form)
        text = response.content.decode().replace(form["csrfmiddlewaretoken"], "")
        text = re.sub(r'value="[^"]*"', "", text)
        seen.append((response.status_code, text, len(queries), len(mail.outbox), len(hashed)))

    assert seen[0] == seen[1] == seen[2]


def test_resets_are_limited_by_account_and_by_address(settings, alice):
    settings.THROTTLES = {**settings.THROTTLES, "reset_account": "2/6000"}
    assert [ask_for_reset(alice.email).status_code for _ in range(3)] == [200, 200, 429]

    settings.THROTTLES = {**settings.THROTTLES, "reset_account": "100/6", "reset_address": "2/6000"}
    here = factories.address()
    statuses = [ask_for_reset(f"{n}@x.example", REMOTE_ADDR=here).status_code for n in range(3)]
    assert statuses == [200, 200, 429]


# --- the address ---


def ask_for_email(page, email):
    return page.post("/account/email", {**page.form("/account/email"), "email": email})


def mailed(subject):
    return next(m for m in mail.outbox if m.subject == subject)


def confirm_path():
    return urlsplit(
        re.search(r"https://\S+/account/email/\S+", mailed("Confirm your new e-mail address").body)[0]
    ).path


@pytest.mark.asvs("6.3.7")
def test_the_new_address_is_confirmed_and_the_former_told(page, alice):
    former = alice.email
    assert ask_for_email(page, "New@Example.org").status_code == 200
    assert mailed("Confirm your new e-mail address").to == ["new@example.org"]
    assert mailed("Your e-mail address is about to be changed").to == [former]
    alice.refresh_from_db()
    assert alice.email == former

    path = confirm_path()
    assert page.post(path, page.form(path)).status_code == 303

    alice.refresh_from_db()
    assert alice.email == "new@example.org"
    assert mailed("Your e-mail address was changed").to == [former]
    assert AuditEvent.objects.filter(event="account:email:changed", actor=alice.public_id).exists()
    assert page.get(path).status_code == 400


def test_somebody_elses_address_is_not_given_away(page, acme):
    other = factories.member("auditor", acme)
    free, taken = ask_for_email(page, "free@example.org"), ask_for_email(page, other.email)

    def strip(response):
        return re.sub(r'value="[^"]*"', "", response.content.decode())

    assert strip(free) == strip(taken)
    told = next(m for m in mail.outbox if m.to == [other.email])
    assert "account/email/" not in told.body


def test_two_who_ask_for_one_address_do_not_both_get_it(page, alice):
    ask_for_email(page, "both@example.org")
    User.objects.create_user("both@example.org", name="First")
    path = confirm_path()

    assert page.post(path, page.form(path)).status_code == 400


def test_a_link_of_anothers_confirms_nothing(page, acme):
    ask_for_email(page, "new@example.org")
    path = confirm_path()
    mallory = Page()
    mallory.sign_in(factories.member("auditor", acme))

    assert mallory.get(path).status_code == 400
    assert Page().get(path)["Location"].startswith("/sign-in?next=")


@pytest.mark.asvs("9.1.2")
@pytest.mark.parametrize(
    "signed",
    [None, ({"user": 1}, "other"), ({"user": 1}, EMAIL_SALT)],
    ids=["unsigned", "other salt", "short"],
)
def test_what_is_no_token_is_refused(page, signed):
    token = signing.dumps(signed[0], salt=signed[1]) if signed else "x"
    assert page.get(f"/account/email/{token}").status_code == 400


# --- sessions on the page ---


@pytest.mark.asvs("7.5.2")
def test_the_page_ends_one_session_or_all_others(page, alice):
    one, another = Page(), Page()
    one.sign_in(alice)
    another.sign_in(alice)
    form = {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value}
    victim = alice.sessions.order_by("-created_at").first()
    assert str(victim.public_id) in page.get("/account").content.decode()

    assert page.post("/account/sessions/end", {**form, "session": str(victim.public_id)}).status_code == 303
    assert (signed_in(page), signed_in(one), signed_in(another)) == (True, True, False)
    page.post("/account/sessions/end", form)
    assert (signed_in(page), signed_in(one)) == (True, False)


@pytest.mark.asvs("7.5.2")
def test_who_has_not_just_authenticated_sees_the_sessions_and_ends_none(page, alice, monkeypatch):
    Page().sign_in(alice)
    later = timezone.now() + timedelta(minutes=6)
    monkeypatch.setattr(reauthentication, "clock", lambda: later)
    form = {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value}

    assert page.get("/account").status_code == 200
    response = page.post("/account/sessions/end", form)

    assert (response.status_code, response["Location"]) == (303, "/reauthenticate?next=%2Faccount")
    assert alice.sessions.count() == 2


def test_anothers_session_is_not_ended(page, acme):
    other = factories.member("auditor", acme)
    row = factories.session(other)
    form = {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value}
    page.post("/account/sessions/end", {**form, "session": str(row.public_id)})

    assert other.sessions.exists()
    assert page.post("/account/sessions/end", {**form, "session": "x"}).status_code == 404


def test_no_page_may_be_framed_or_cached(page):
    for path in ("/account", "/account/password", "/reauthenticate", "/sign-in"):
        response = page.get(path)
        assert response["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in response["Content-Security-Policy"]
        assert "unsafe" not in response["Content-Security-Policy"]
        assert response["Cache-Control"] == "no-store"


def test_no_form_is_taken_without_its_token(page, alice):
    factories.session(alice)
    for path in (
        "/account/password",
        "/account/email",
        "/account/sessions/end",
        "/account/totp",
        "/reauthenticate",
    ):
        assert page.post(path, {}).status_code == 403
