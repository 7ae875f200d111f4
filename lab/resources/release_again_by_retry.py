"""The answer to a release is lost on the way, the client sends it again, and the invoice is paid twice."""

import uuid

from lab.resources.objects import submitted_invoice
from lab.world import World

STORY = __doc__
LAYERS = ("idempotency", "preconditions", "states")


def attack(world: World) -> bool:
    target = submitted_invoice(world, "acme")
    world.call("approver@acme", "POST", f"/v1/invoices/{target}/approve")
    once = {"Idempotency_Key": str(uuid.uuid4()), "If_Match": f'"{world.version(target)}"'}
    for _ in range(2):
        world.call("treasurer@acme", "POST", f"/v1/invoices/{target}/release", **once)
    trail = world.call("auditor@acme", "GET", "/v1/audit-events?event=invoices:invoice:released").json[
        "items"
    ]
    return [event["target_id"] for event in trail].count(target) > 1
