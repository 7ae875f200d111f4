"""Sign-in and sign-out."""

import re
import secrets

import pytest
from django.contrib.auth.hashers import get_hasher, identify_hasher
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from config import settings as production
from security.throttling import LimiterUnavailable
from tests import factories
from tests.clients import PROBLEM, Page

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


def test_unknown_and_known_cost_the_same_statements(alice):
    counts = []
    for email in (alice.email, "nobody@nowhere.example"):
        page = Page()
        form = {**page.form("/sign-in"), "username": email, "password": "wrong"}
        with CaptureQueriesContext(connection) as queries:
            page.post("/sign-in", form)
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_a_post_without_the_csrf_token_is_refused(alice):
    response = Page().post("/sign-in", {"username": alice.email, "password": factories.PASSWORD})

    assert response.status_code == 403


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


def test_guesses_on_one_account_are_limited(settings, alice):
    settings.THROTTLES = {**settings.THROTTLES, "sign_in_account": "3/6000"}
    statuses = [Page().sign_in(alice, "wrong").status_code for _ in range(3)]

    right = Page().sign_in(alice)

    assert statuses == [200, 200, 200]
    assert right.status_code == 429
    assert right["Content-Type"] == PROBLEM
    assert int(right["Retry-After"]) > 0
    assert right.json()["violated-policies"] == ["sign_in_account"]


def test_guesses_on_many_accounts_from_one_address_are_limited(settings):
    settings.THROTTLES = {**settings.THROTTLES, "sign_in_address": "3/6000"}
    address = f"198.51.100.{secrets.randbelow(250)}"
    page = Page(REMOTE_ADDR=address)
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


def test_sign_out_ends_the_session_and_needs_the_token(alice):
    page = Page()
    page.sign_in(alice)
    assert page.get("/docs").status_code == 200
    assert page.post("/sign-out", {}).status_code == 403
    assert page.get("/sign-out").status_code == 405

    response = page.post("/sign-out", {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value})

    assert response.status_code == 303
    assert page.get("/docs").status_code == 302


def test_real_passwords_are_argon2id():
    with override_settings(PASSWORD_HASHERS=production.PASSWORD_HASHERS):
        encoded = get_hasher("default").encode("x" * 12, "somesalt")
        assert encoded.startswith("argon2$argon2id$")
        assert identify_hasher(encoded).algorithm == "argon2"
