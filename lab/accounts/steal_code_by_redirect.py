"""A link to the consent page names the attacker's address, and the code goes there."""

from django.core.management.base import CommandError

from accounts.management.commands.demo_token import Browser
from lab.world import World

STORY = __doc__
LAYERS = ("redirect_uris",)


def attack(world: World) -> bool:
    client = next(client for client in world.demo["clients"] if client["client_id"] == "demo-web")
    user, browser = world.user("auditor@acme"), Browser(world.base_url, world.ca_file)
    browser.sign_in(user["username"], user["password"], user["totp_secret"])
    try:
        code, _ = browser.authorize({**client, "redirect_uris": ["https://evil.example/"]}, "audit:read")
    except CommandError:
        return False
    return bool(code)
