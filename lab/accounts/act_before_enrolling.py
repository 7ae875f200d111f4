"""Somebody with a password alone is made an administrator, and their token from before administrates."""

from lab.accounts.people import join, member_id
from lab.world import World

STORY = __doc__
LAYERS = ("weak_tokens", "strong_roles")


def attack(world: World) -> bool:
    bob = join(world, "auditor")
    token = bob.token()
    path = f"/v1/members/{member_id(world, bob.email)}"
    world.call("org-admin@acme", "PATCH", path, {"role": "org_admin"})
    return world.call_with(token, "GET", "/v1/members").ok
