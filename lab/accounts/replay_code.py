"""A code that was overheard is redeemed a second time."""

from django.core.management.base import CommandError

from accounts.management.commands.demo_token import Browser
from lab.world import World

STORY = __doc__
LAYERS = ("code_replay",)


def attack(world: World) -> bool:
    client = next(client for client in world.demo["clients"] if client["client_id"] == "demo-web")
    user, browser = world.user("auditor@acme"), Browser(world.base_url, world.ca_file)
    browser.sign_in(user["username"], user["password"], user["totp_secret"])
    code, verifier = browser.authorize(client, "audit:read")
    browser.exchange(client, code, verifier)
    try:
        return bool(browser.exchange(client, code, verifier)["access_token"])
    except CommandError:
        return False
