"""Somebody has an administrator's password and no code, and goes straight on to the consent page."""

from django.core.management.base import CommandError

from accounts.management.commands.demo_token import Browser
from lab.accounts.flow import authorize_path
from lab.world import World

STORY = __doc__
LAYERS = ("pending_sign_in",)


def attack(world: World) -> bool:
    client = next(client for client in world.demo["clients"] if client["client_id"] == "demo-web")
    user, browser = world.user("org-admin@acme"), Browser(world.base_url, world.ca_file)
    browser.enter_password(user["username"], user["password"])
    try:
        path = authorize_path(client, "account:read")
        _, location, _ = browser.send(path, {**browser.form(path), "decision": "allow"})
    except CommandError:
        return False
    return "code=" in location
