"""An application that may see who somebody is asks for the audit trail when it refreshes."""

from lab.accounts.flow import ask_for_tokens, signed_in, web_client
from lab.world import World

STORY = __doc__
LAYERS = ("refresh_scope",)


def attack(world: World) -> bool:
    client, browser = web_client(world), signed_in(world, "auditor@acme")
    code, verifier = browser.authorize(client, "account:read")
    refresh = browser.exchange(client, code, verifier)["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": refresh, "scope": "account:read audit:read"}
    wide = ask_for_tokens(browser, client, **form).get("access_token", "none")
    return world.send("GET", "/v1/audit-events", Authorization=f"Bearer {wide}").ok
