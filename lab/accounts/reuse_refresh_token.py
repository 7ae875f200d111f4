"""A refresh token that was used already is found on an old backup of a phone, and used again."""

from lab.accounts.flow import ask_for_tokens, signed_in, web_client
from lab.world import World

STORY = __doc__
LAYERS = ("refresh_rotation",)


def attack(world: World) -> bool:
    client, browser = web_client(world), signed_in(world, "auditor@acme")
    code, verifier = browser.authorize(client, "account:read")
    old = browser.exchange(client, code, verifier)["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": old}
    ask_for_tokens(browser, client, **form)  # its owner's
    stolen = ask_for_tokens(browser, client, **form).get("access_token", "")
    return world.send("GET", "/v1/me", Authorization=f"Bearer {stolen or 'none'}").ok
