"""Every page of sign-in and account, read as a password manager or a person reads it."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from deploy.local.postgres import ROOT
from tests import factories
from tests.clients import Flow, Page

pytestmark = pytest.mark.django_db

OPEN = ["/sign-in", "/password-reset", "/account/password/changed", "/signed-out"]
SIGNED_IN = [
    "/account",
    "/account/totp",
    "/account/passkeys",
    "/account/password",
    "/account/email",
    "/account/recovery-codes",
    "/reauthenticate",
    "/docs",
]


class Form(HTMLParser):
    """The fields of a page, and where its forms go."""

    def __init__(self, page):
        super().__init__()
        self.fields, self.actions, self.handlers = [], [], []
        self.feed(page.content.decode())

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.handlers += [name for name in attributes if name.startswith("on")]
        if tag == "input" and attributes.get("type") != "hidden":
            self.fields.append(attributes)
        elif tag == "form":
            self.actions.append(attributes.get("action"))


@pytest.fixture
def pages(acme):
    """path → page: open, in the middle of sign-in, and signed in as somebody with a second factor."""
    boss = factories.enrol(factories.member("org_admin", acme))
    factories.grant(boss, acme)
    between, newcomer, inside = Page(), Page(), Page()
    between.enter_password(boss)
    newcomer.enter_password(factories.member("org_admin", acme))
    inside.sign_in(boss)
    found = {path: Page().get(path) for path in OPEN}
    found["/sign-in/code"] = between.get("/sign-in/code")
    found["/sign-in/enrol"] = newcomer.get("/sign-in/enrol")
    found |= {path: inside.get(path) for path in SIGNED_IN}
    found["/oauth/authorize"] = inside.get(Flow(inside, factories.public_client(), "account:read").path)
    assert {page.status_code for page in found.values()} <= {200, 302}
    return {path: page for path, page in found.items() if page.status_code == 200}


@pytest.mark.asvs("6.2.6")
def test_passwords_are_masked(pages):
    fields = [field for page in pages.values() for field in Form(page).fields if "password" in field["name"]]

    assert len(fields) == 5  # sign-in, re-authentication, and three of a change
    assert {field["type"] for field in fields} == {"password"}


@pytest.mark.asvs("6.2.7")
def test_password_managers_know_the_fields_and_pasting_is_left_alone(pages):
    for path, page in pages.items():
        form = Form(page)
        assert form.handlers == [], path
        for field in form.fields:
            if field["type"] == "password":
                assert field["autocomplete"] in {"current-password", "new-password"}
            elif field["name"] in {"username", "code"}:
                assert field["autocomplete"].split()[0] in {"username", "one-time-code"}
    scripts = [*ROOT.glob("accounts/static/**/*.js"), *ROOT.glob("config/static/**/*.js")]
    assert scripts
    assert not [script for script in scripts if "paste" in Path(script).read_text()]


@pytest.mark.asvs("6.4.2")
def test_nobody_is_asked_what_others_may_know(pages):
    names = {field["name"] for page in pages.values() for field in Form(page).fields}

    assert names == {
        "username",
        "password",
        "old_password",
        "new_password1",
        "new_password2",
        "email",
        "code",
        "name",
        "organisation",
        "scope",
    }
    for template in ROOT.glob("accounts/templates/**/*.txt"):
        assert not re.search("secret question|mother|maiden|first pet", template.read_text(), re.IGNORECASE)


@pytest.mark.asvs("7.4.4")
def test_every_page_of_somebody_signed_in_has_the_way_out(pages):
    inside = [path for path in pages if path in SIGNED_IN or path == "/oauth/authorize"]

    assert len(inside) >= len(SIGNED_IN)
    for path in inside:
        assert "/sign-out" in Form(pages[path]).actions, path
    assert "/sign-out" not in Form(pages["/sign-in"]).actions
