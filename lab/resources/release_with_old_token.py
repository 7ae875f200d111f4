"""A treasurer signed in this morning and went away; somebody at their desk releases an invoice."""

import hashlib

from lab.resources.objects import invoice_body
from lab.world import World

STORY = __doc__
LAYERS = ("step_up",)


def attack(world: World) -> bool:
    seeded = next(objects for objects in world.demo["objects"] if objects["organisation"] == "Globex")
    body = invoice_body(world, seeded["vendor"])  # verified, so that something is released to it
    path = f"/v1/invoices/{world.call('clerk@globex', 'POST', '/v1/invoices', body).json['id']}"
    world.call("clerk@globex", "POST", f"{path}/submit")
    world.call("approver@globex", "POST", f"{path}/approve")
    token = world.token("treasurer@globex", "invoices:release")  # a token of its own, to be aged
    digest = hashlib.sha256(token.encode()).hexdigest()
    world.arrange(
        "UPDATE oauth_accesstoken SET auth_time = auth_time - interval '1 hour' "
        f"WHERE token_checksum = '{digest}'"
    )
    return world.call_with(token, "POST", f"{path}/release").ok
