"""Sign-in and account in a real browser: second factor, passkeys, and what a person meets on the way."""

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

#: Where pictures of the pages go, for whoever wants to look at them.
PICTURES = os.environ.get("PICTURES")


def user_of(live, role, organisation="Acme"):
    return next(u for u in live.demo["users"] if (u["role"], u["organisation"]) == (role, organisation))


def picture(page, name):
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def seed_on(page):
    return page.locator("code.secret").text_content().replace(" ", "")


@pytest.mark.asvs("14.2.3")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sign_in_with_a_code_and_out_again(live, visitor, scheme):
    page = visitor.page
    page.emulate_media(color_scheme=scheme)
    user = user_of(live, "org_admin", "Acme" if scheme == "light" else "Globex")
    visitor.goto("/sign-in?next=/account")
    picture(page, f"sign-in-{scheme}")
    visitor.password(user)
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    picture(page, f"code-{scheme}")
    page.fill("#id_code", "000000")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert").first).to_contain_text("That code is not right")
    picture(page, f"code-wrong-{scheme}")
    visitor.code(user["totp_secret"])

    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    picture(page, f"account-{scheme}")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    picture(page, f"signed-out-{scheme}")
    visitor.goto("/account")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_by_keyboard_alone(live, visitor):
    page, user = visitor.page, user_of(live, "auditor")
    visitor.goto("/sign-in")
    page.keyboard.type(user["username"])
    page.keyboard.press("Tab")
    page.keyboard.type(user["password"])
    page.keyboard.press("Enter")

    page.wait_for_url(f"{live.base_url}/docs")


def test_a_wrong_password_is_told_and_announced(live, visitor):
    visitor.goto("/sign-in")
    visitor.password({"username": "nobody@nowhere.example", "password": "wrong"})

    expect(visitor.page.get_by_role("alert").first).to_contain_text("do not match an account")
    picture(visitor.page, "sign-in-wrong")


@pytest.fixture
def without_factors(live):
    """Somebody who has no second factor, and has none again afterwards: others sign in as them."""
    user = user_of(live, "auditor", "Globex")
    yield user
    live.forget_factors(user["username"])


def test_a_passkey_is_made_and_then_signs_in_alone(live, visitor, without_factors):
    page, user = visitor.page, without_factors
    devtools = visitor.has_passkeys()
    visitor.goto("/sign-in?next=/account/passkeys")
    visitor.password(user)
    picture(page, "add-passkey")
    page.fill("#id_name", "Laptop of a test")
    page.get_by_role("button", name="Make a passkey").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    assert len(re.findall(r"\d{10}", page.locator(".codes").text_content())) == 10
    picture(page, "recovery-codes")
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("Laptop of a test", exact=True)).to_be_visible()
    picture(page, "account-passkey")
    page.get_by_role("button", name="Sign out").click()

    # The password now takes the passkey as its second factor.
    visitor.goto("/sign-in?next=/account")
    visitor.password(user)
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()

    # And it signs in alone, with no name typed.
    visitor.goto("/sign-in?next=/account")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()

    # Re-authentication takes it as well.
    visitor.goto("/reauthenticate?next=/account/password")
    picture(page, "reauthenticate")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="New password")).to_be_visible()
    picture(page, "change-password")
    visitor.goto("/account")
    page.get_by_role("link", name="Remove the passkey").click()
    picture(page, "remove-factor")
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_text("No passkey")).to_be_visible()
    devtools.detach()


def test_no_passkey_at_hand_is_told(live, visitor):
    page = visitor.page
    devtools = visitor.has_passkeys()
    visitor.goto("/sign-in")
    page.get_by_role("button", name="Sign in with a passkey").click()

    expect(page.get_by_role("alert").first).to_contain_text("The browser did not give a passkey")
    picture(page, "no-passkey")
    devtools.detach()


@pytest.mark.parametrize("way", ["app", "passkey"])
def test_who_needs_a_second_factor_sets_one_up_first(live, visitor, way):
    page = visitor.page
    newcomer = {"username": f"newcomer-{way}@acme.example", "password": f"a long one for {way}"}
    live.manage("shell", "--no-imports", "-c", NEWCOMER.format(**newcomer))
    visitor.has_passkeys()
    visitor.goto("/sign-in?next=/account")
    visitor.password(newcomer)
    expect(page.get_by_role("heading", name="Set up a second factor")).to_be_visible()
    picture(page, "enrol")
    for path in ("/docs", "/account", "/oauth/authorize"):
        assert "/sign-in" in page.evaluate(f"fetch('{path}').then((answer) => answer.url)")

    if way == "app":
        page.locator("summary").click()
        page.fill("#id_code", "000000")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("alert").first).to_contain_text("That code is not right")
        visitor.code(seed_on(page))
    else:
        page.get_by_role("button", name="Make a passkey").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()


NEWCOMER = """
from accounts.models import Membership, Organisation, User
from security.row_security import tenant
user = User.objects.create_user("{username}", "{password}", name="A newcomer")
acme = Organisation.objects.get(name="Acme")
with tenant(acme.pk):
    Membership.objects.create(user=user, organisation=acme, role="org_admin")
"""


def test_the_pages_without_a_session(live, visitor):
    page = visitor.page
    visitor.goto("/password-reset")
    picture(page, "reset")
    visitor.goto("/account/password/changed")
    picture(page, "password-changed")
    page.set_viewport_size({"width": 360, "height": 640})
    visitor.goto("/sign-in")
    picture(page, "sign-in-narrow")
