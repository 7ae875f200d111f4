"""An auditor, who changes nothing, has a client ask for the approver's scope, and approves."""

from lab.resources.objects import invoice
from lab.world import World

STORY = __doc__
LAYERS = ("roles",)


def attack(world: World) -> bool:
    target = invoice(world, "clerk@acme")
    world.call("clerk@acme", "POST", f"/v1/invoices/{target}/submit")
    return world.call("auditor@acme", "POST", f"/v1/invoices/{target}/approve").ok
