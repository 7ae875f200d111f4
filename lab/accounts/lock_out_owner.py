"""An attacker uses up the guesses at somebody's account, so that its owner cannot sign in any more."""

from http import HTTPStatus

from django.core.management.base import CommandError

from accounts.management.commands.demo_token import Browser
from lab.world import World

STORY = __doc__
LAYERS = ("known_devices",)


def attack(world: World) -> bool:
    owner = world.user("auditor@globex")
    browser = Browser(world.base_url, world.ca_file)
    browser.sign_in(owner["username"], owner["password"])  # as they do every morning
    while world.guess(owner["username"], "wrong").status == HTTPStatus.OK:
        pass
    try:
        browser.sign_in(owner["username"], owner["password"])
    except CommandError:
        return True
    return False
