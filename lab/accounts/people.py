"""Strangers for the scenarios: invited, joined, signed in. A scenario that changes somebody changes these."""

import secrets
import time
from dataclasses import dataclass

from accounts.management.commands.demo_token import Browser, totp
from lab.world import World

ENROL_PATH = "/sign-in/enrol"
ENROL_FORM = 'class="secret">'
SCOPES = "account:read members:manage audit:read"


@dataclass(frozen=True, slots=True)
class Person:
    world: World
    email: str
    password: str
    browser: Browser

    def token(self, scopes: str = SCOPES) -> str:
        """An access token for Acme, from the real flow."""
        client = next(client for client in self.world.demo["clients"] if client["client_id"] == "demo-web")
        code, verifier = self.browser.authorize(client, scopes)
        return str(self.browser.exchange(client, code, verifier)["access_token"])


def invite(world: World, email: str, role: str) -> str:
    """By Acme's administrator; the path of the mailed link."""
    world.call("org-admin@acme", "POST", "/v1/invitations", {"email": email, "role": role})
    return world.mailed_link(email)


def join(world: World, role: str) -> Person:
    """A new person with ``role`` in Acme, signed in."""
    email = world.unique("stranger").replace(" ", "") + "@new.example"
    password = secrets.token_urlsafe(24)
    browser = Browser(world.base_url, world.ca_file)
    accept(browser, invite(world, email, role), name="A stranger", password=password)
    _, location = browser.enter_password(email, password)
    if location == ENROL_PATH:
        enrol(browser)
    return Person(world, email, password, browser)


def enrol(browser: Browser) -> None:
    """Set up an authenticator app, as a role may want it before the first sign-in is complete."""
    _, _, page = browser.send(ENROL_PATH)
    complete_enrolment(browser, page)


def complete_enrolment(browser: Browser, page: str) -> None:
    """Post the form of ``page`` with a code of its secret."""
    secret = page.split(ENROL_FORM)[1].split("<")[0].replace(" ", "")
    for _ in range(2):  # a code whose 30 seconds ended on the way is followed by the next
        csrf = page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
        fields = {"csrfmiddlewaretoken": csrf, "code": totp(secret, time.time())}
        _, _, page = browser.send(ENROL_PATH, fields)
        if ENROL_FORM not in page:
            return


def accept(browser: Browser, link: str, **fields: str) -> int:
    """Post the form of the link; the status."""
    status, _, _ = browser.send(link, {**browser.form(link), **fields})
    return status


def member_id(world: World, email: str) -> str:
    """The public id of a member of Acme, as an administrator sees it."""
    items = world.call("org-admin@acme", "GET", "/v1/members?limit=100").json["items"]
    return str(next(item["id"] for item in items if item["email"] == email))


def demoted(world: World) -> tuple[Person, str]:
    """Somebody who was an administrator of Acme, and their token from then."""
    person = join(world, "org_admin")
    token = person.token()
    path = f"/v1/members/{member_id(world, person.email)}"
    world.call("org-admin@acme", "PATCH", path, {"role": "auditor"})
    return person, token
