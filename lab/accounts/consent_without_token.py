"""Another site's page posts the consent form in the victim's browser."""

from accounts.management.commands.demo_token import Browser
from lab.accounts.flow import authorize_path
from lab.world import World

STORY = __doc__
LAYERS = ("csrf",)


def attack(world: World) -> bool:
    client = next(client for client in world.demo["clients"] if client["client_id"] == "demo-web")
    user, browser = world.user("auditor@acme"), Browser(world.base_url, world.ca_file)
    browser.sign_in(user["username"], user["password"], user["totp_secret"])
    path = authorize_path(client, "audit:read")
    form = {**browser.form(path), "decision": "allow"}
    del form["csrfmiddlewaretoken"]
    _, location, _ = browser.send(path, form)
    return "code=" in location
