"""Sign-in and sign-out."""

import re
import threading

import pytest
from django.contrib.auth import hashers
from django.contrib.auth.hashers import get_hasher, identify_hasher
from django.core import mail
from django.db import connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from config import settings as production
from security.models import AuditEvent
from security.throttling import LimiterUnavailable
from tests import factories
from tests.clients import PROBLEM, Page
from tests.parallel import until_somebody_waits

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(acme):
    return factories.member("auditor", acme)


def test_it_signs_in_and_answers_303(alice):
    page = Page()

    response = page.sign_in(alice)

    assert response.status_code == 303
    assert response["Location"] == "/docs"
    cookie = page.cookies["__Host-session"]
    assert cookie["secure"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/"
    assert not cookie["domain"]
    assert not cookie["max-age"]


@pytest.mark.asvs("7.2.4")
def test_the_session_is_a_new_one(alice):
    page = Page()
    page.sign_in(alice)
    before = page.cookies["__Host-session"].value

    page.sign_in(alice)

    assert page.cookies["__Host-session"].value != before


@pytest.mark.parametrize("change", ["upper", "spaces"])
def test_the_address_is_taken_whatever_its_case(alice, change):
    page = Page()
    typed = alice.email.upper() if change == "upper" else f" {alice.email} "

    response = page.post(
        "/sign-in", {**page.form("/sign-in"), "username": typed, "password": factories.PASSWORD}
    )

    assert response.status_code == 303


@pytest.mark.asvs("6.3.8")
def test_unknown_inactive_and_wrong_look_the_same(alice, acme):
    gone = factories.member("auditor", acme, is_active=False)
    pages = []
    for email, password in [
        (alice.email, "wrong"),
        ("nobody@nowhere.example", "x"),
        (gone.email, factories.PASSWORD),
    ]:
        page = Page()
        form = {**page.form("/sign-in"), "username": email, "password": password}
        response = page.post("/sign-in", form)
        assert response.status_code == 200
        pages.append(response.content.decode().replace(form["csrfmiddlewaretoken"], ""))

    stripped = {re.sub(r'value="[^"]*"', "", text) for text in pages}
    assert len(stripped) == 1


@pytest.mark.asvs("6.3.8")
def test_every_failure_costs_the_same_hashes_and_statements(alice, acme, monkeypatch):
    gone = factories.member("auditor", acme, is_active=False)
    busy = factories.enrol(factories.member("org_admin", acme))
    factories.Membership.objects.create(user=busy, organisation=factories.organisation(), role="auditor")
    hashed, encode = [], hashers.MD5PasswordHasher.encode
    monkeypatch.setattr(
        hashers.MD5PasswordHasher, "encode", lambda *args: hashed.append(args) or encode(*args)
    )
    seen = {}
    for email in (alice.email, gone.email, busy.email, "nobody@nowhere.example"):
        page = Page()
        form = {**page.form("/sign-in"), "username": email, "password": "wrong"}
        hashed.clear()
        with CaptureQueriesContext(connection) as queries:
            page.post("/sign-in", form)
        seen[email] = (len(hashed), len(queries))

    assert set(seen.values()) == {(1, seen[alice.email][1])}, seen


def test_a_post_without_the_csrf_token_is_refused(alice):
    response = Page().post("/sign-in", {"username": alice.email, "password": factories.PASSWORD})

    assert response.status_code == 403


@pytest.mark.asvs("1.2.2")
@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "http://testserver/docs"]
)
def test_it_sends_nobody_elsewhere(alice, target):
    page = Page()

    response = page.post(
        "/sign-in",
        {**page.form("/sign-in"), "username": alice.email, "password": factories.PASSWORD, "next": target},
    )

    assert response["Location"] == "/docs"


@pytest.mark.asvs("6.3.1")
def test_guesses_on_one_account_are_limited(settings, alice):
    settings.THROTTLES = {**settings.THROTTLES, "sign_in_account": "3/6000"}
    statuses = [Page().sign_in(alice, "wrong").status_code for _ in range(3)]

    right = Page().sign_in(alice)

    assert statuses == [200, 200, 200]
    assert right.status_code == 429
    assert right["Content-Type"] == PROBLEM
    assert int(right["Retry-After"]) > 0
    assert right.json()["violated-policies"] == ["sign_in_account"]


@pytest.mark.parametrize("shift", [0xFEE0, 0x1D400 - 0x41], ids=["wide", "bold"])
def test_another_spelling_of_the_letters_has_no_guesses_of_its_own(settings, alice, shift):
    """The form folds them into plain ones, so each spelling finds the account."""
    settings.THROTTLES = {**settings.THROTTLES, "sign_in_account": "3/6000"}

    def spelled(number):
        letters = list(alice.email.upper())
        letters[number] = chr(ord(letters[number]) + shift)
        return "".join(letters)

    def guess(number, password="wrong"):
        page = Page()
        form = {**page.form("/sign-in"), "username": spelled(number), "password": password}
        return page.post("/sign-in", form).status_code

    assert [guess(number) for number in range(3)] == [200, 200, 200]
    assert User.objects.get(pk=alice.pk).failed_sign_ins == 3
    assert guess(4, factories.PASSWORD) == 429
    assert Page().sign_in(alice).status_code == 429


def test_guesses_on_many_accounts_from_one_address_are_limited(settings):
    settings.THROTTLES = {**settings.THROTTLES, "sign_in_address": "3/6000"}
    page = Page(REMOTE_ADDR=factories.address())
    form = page.form("/sign-in")

    statuses = [
        page.post("/sign-in", {**form, "username": f"{number}@x.example", "password": "x"}).status_code
        for number in range(4)
    ]

    assert statuses == [200, 200, 200, 429]


def test_without_valkey_it_refuses(monkeypatch, alice):
    def out_of_reach(limits, *, fail_closed):
        assert fail_closed
        raise LimiterUnavailable(retry_after=1)

    monkeypatch.setattr("security.throttling.check", out_of_reach)

    response = Page().sign_in(alice)

    assert response.status_code == 503
    assert response["Content-Type"] == PROBLEM
    assert response["Retry-After"] == "1"


def test_a_password_with_nul_is_only_a_wrong_one(alice):
    assert Page().sign_in(alice, "a\x00b").status_code == 200


def test_a_name_with_nul_is_only_a_wrong_one(db):
    page = Page()

    response = page.post(
        "/sign-in", {**page.form("/sign-in"), "username": "a\x00@b.example", "password": "x"}
    )

    assert response.status_code == 200


@pytest.mark.asvs("14.3.1")
def test_sign_out_ends_the_session_and_needs_the_token(alice):
    page = Page()
    page.sign_in(alice)
    assert page.get("/docs").status_code == 200
    assert page.post("/sign-out", {}).status_code == 403
    assert page.get("/sign-out").status_code == 405

    response = page.post("/sign-out", {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value})

    assert response.status_code == 303
    assert response["Clear-Site-Data"] == '"cache", "storage"'
    assert not response.cookies["__Host-session"].value
    assert page.get("/docs").status_code == 302


def test_sign_out_leaves_the_browser_known(alice):
    page = Page()
    page.sign_in(alice)
    page.post("/sign-out", {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value})

    assert page.cookies["__Host-device"].value


@pytest.mark.asvs("7.4.1")
def test_a_copied_cookie_is_of_no_use_after_sign_out(alice):
    page, thief = Page(), Page()
    page.sign_in(alice)
    thief.cookies["__Host-session"] = page.cookies["__Host-session"].value
    assert thief.get("/docs").status_code == 200

    page.post("/sign-out", {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value})

    thief.cookies["__Host-session"] = thief.cookies["__Host-session"].value
    assert thief.get("/docs").status_code == 302
    assert not alice.sessions.exists()


# --- what its owner should know of ---


@pytest.mark.asvs("6.3.5")
def test_a_sign_in_after_failures_is_told(alice):
    for _ in range(3):
        Page().enter_password(alice, "wrong")
    assert mail.outbox == []

    Page().sign_in(alice)

    (told,) = mail.outbox
    assert (told.subject, told.to) == ("Your account was signed in to after failed attempts", [alice.email])
    assert "3 attempts" in told.body
    event = AuditEvent.objects.get(event="account:session:opened-after-failures")
    assert event.actor == alice.public_id
    Page().sign_in(alice)
    assert len(mail.outbox) == 1  # once


@pytest.mark.asvs("6.3.5")
def test_codes_that_were_wrong_count_as_well(acme):
    boss = factories.enrol(factories.member("org_admin", acme))
    page = Page()
    page.enter_password(boss, "wrong")
    page.enter_password(boss)
    page.enter_code("000000")
    page.enter_code("000000")
    assert mail.outbox == []

    page.enter_code()

    assert [m.to for m in mail.outbox] == [[boss.email]]


def test_a_slip_is_not_told(alice):
    Page().enter_password(alice, "wrong")
    Page().sign_in(alice)

    assert mail.outbox == []


@pytest.mark.asvs("11.4.2")
def test_real_passwords_are_argon2id():
    with override_settings(PASSWORD_HASHERS=production.PASSWORD_HASHERS):
        encoded = get_hasher("default").encode("x" * 12, "somesalt")
        assert encoded.startswith("argon2$argon2id$")
        assert identify_hasher(encoded).algorithm == "argon2"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("end", ["password", "factor"])
def test_a_sign_in_at_the_same_moment_does_not_survive_a_change(alice, end):
    """The password was right, and the change commits before there is a session."""
    page, answers = Page(), []
    form = {**page.form("/sign-in"), "username": alice.email, "password": factories.PASSWORD}

    def sign_in():
        try:
            answers.append(page.post("/sign-in", form))
        finally:
            connection.close()

    thread = threading.Thread(target=sign_in)
    with transaction.atomic():
        if end == "password":
            alice.set_password("another horse and no battery")
            alice.save()
        else:
            factories.enrol(alice)
            alice.end_access()
        thread.start()
        until_somebody_waits()
    thread.join()

    assert answers[0]["Location"] == {"password": "/sign-in", "factor": "/sign-in/code"}[end]
    assert not alice.sessions.exists()
