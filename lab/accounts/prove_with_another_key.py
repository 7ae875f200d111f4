"""A token that is bound to a key leaks, and the thief makes a proof with a key of their own."""

from accounts.management.commands.demo_token import DemoKey
from lab.accounts.flow import bound_token
from lab.world import World

STORY = __doc__
LAYERS = ("key_binding",)


def attack(world: World) -> bool:
    token, _, nonce = bound_token(world, "auditor@acme")
    proof = DemoKey(world.base_url).proof("GET", "/v1/me", nonce=nonce, token=token)
    return world.send("GET", "/v1/me", Authorization=f"DPoP {token}", DPoP=proof).ok
