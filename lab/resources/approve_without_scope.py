"""A token that was given for reading is used to approve."""

from lab.resources.objects import invoice
from lab.world import World

STORY = __doc__
LAYERS = ("scopes",)


def attack(world: World) -> bool:
    target = invoice(world, "clerk@acme")
    world.call("clerk@acme", "POST", f"/v1/invoices/{target}/submit")
    path = f"/v1/invoices/{target}/approve"
    return world.call("approver@acme", "POST", path, scope="invoices:read").ok
