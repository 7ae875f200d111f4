"""Somebody with an old password waits at the last step of a sign-in, and goes on after it was changed."""

import secrets

from accounts.management.commands.demo_token import Browser
from lab.accounts.people import ENROL_PATH, accept, complete_enrolment, invite
from lab.world import World

STORY = __doc__
LAYERS = ("sign_in_in_progress",)


def attack(world: World) -> bool:
    email = world.unique("newcomer").replace(" ", "") + "@new.example"
    password, owner, thief = secrets.token_urlsafe(24), browser(world), browser(world)
    accept(owner, invite(world, email, "org_admin"), name="A newcomer", password=password)
    thief.enter_password(email, password)
    _, _, page = thief.send(ENROL_PATH)
    change_password(world, owner, email)
    complete_enrolment(thief, page)
    status, _, _ = thief.send("/account")
    return status == 200


def browser(world: World) -> Browser:
    return Browser(world.base_url, world.ca_file)


def change_password(world: World, owner: Browser, email: str) -> None:
    """By the mailed link, as whoever suspects something would."""
    owner.send("/password-reset", {**owner.form("/password-reset"), "email": email})
    _, form, _ = owner.send(world.mailed_link(email))
    new = secrets.token_urlsafe(24)
    owner.send(form, {**owner.form(form), "new_password1": new, "new_password2": new})
