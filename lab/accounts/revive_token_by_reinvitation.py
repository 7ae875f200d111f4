"""A token that was stolen before its owner was removed is tried after the owner was invited again."""

from lab.accounts.people import accept, invite, join, member_id
from lab.world import World

STORY = __doc__
LAYERS = ("token_revocation",)


def attack(world: World) -> bool:
    bob = join(world, "auditor")
    stolen = bob.token()
    world.call("org-admin@acme", "DELETE", f"/v1/members/{member_id(world, bob.email)}")
    accept(bob.browser, invite(world, bob.email, "auditor"))
    return world.call_with(stolen, "GET", "/v1/me").ok
