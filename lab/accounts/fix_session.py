"""The attacker plants a session of theirs in the victim's browser, waits for the sign-in, and uses it too."""

from http.cookiejar import Cookie

from accounts.management.commands.demo_token import Browser
from lab.world import World

STORY = __doc__
LAYERS = ("session_keys",)


def attack(world: World) -> bool:
    planted = world.start_session()
    victim = Browser(world.base_url, world.ca_file)
    victim.cookies.set_cookie(cookie(f"{world.host}.local", "__Host-session", planted))
    person = world.user("auditor@acme")
    victim.sign_in(person["username"], person["password"])
    return world.send("GET", "/docs", Cookie=f"__Host-session={planted}").ok


def cookie(domain: str, name: str, value: str) -> Cookie:
    """As the jar keeps one of localhost's."""
    return Cookie(
        version=0,
        name=name,
        value=value,
        port=None,
        port_specified=False,
        domain=domain,
        domain_specified=False,
        domain_initial_dot=False,
        path="/",
        path_specified=True,
        secure=True,
        expires=None,
        discard=True,
        comment=None,
        comment_url=None,
        rest={"HttpOnly": ""},
    )
