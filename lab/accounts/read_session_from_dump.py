"""A copy of the database is found, and the session keys in it are put into a cookie."""

from accounts.management.commands.demo_token import Browser
from lab.world import World

STORY = __doc__
LAYERS = ("session_digests",)


def attack(world: World) -> bool:
    browser = Browser(world.base_url, world.ca_file)
    user = world.user("auditor@acme")
    browser.sign_in(user["username"], user["password"])
    keys = world.dump("SELECT session_key FROM accounts_session WHERE user_id IS NOT NULL")
    return any(world.send("GET", "/docs", Cookie=f"__Host-session={key}").ok for (key,) in keys)
