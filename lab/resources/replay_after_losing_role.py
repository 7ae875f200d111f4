"""A clerk is moved to a post without vendors, and has the answer to an old request of theirs sent again."""

import uuid

from lab.accounts.people import join, member_id
from lab.world import World

STORY = __doc__
LAYERS = ("judged_replays",)


def attack(world: World) -> bool:
    bob, key = join(world, "clerk"), str(uuid.uuid4())
    token = bob.token("vendors:write")
    body = {"name": world.unique("Vendor"), "contact_email": "a@vendor.example", "country": "DE"}
    world.call_with(token, "POST", "/v1/vendors", body, Idempotency_Key=key)
    path = f"/v1/members/{member_id(world, bob.email)}"
    world.call("org-admin@acme", "PATCH", path, {"role": "auditor"})
    return world.call_with(token, "POST", "/v1/vendors", body, Idempotency_Key=key).ok
