"""A clerk submits a small invoice, and raises its amount before it is approved."""

from lab.resources.objects import invoice
from lab.world import World

STORY = __doc__
LAYERS = ("field_access",)


def attack(world: World) -> bool:
    target = invoice(world, "clerk@acme")
    world.call("clerk@acme", "POST", f"/v1/invoices/{target}/submit")
    world.call("clerk@acme", "PATCH", f"/v1/invoices/{target}", {"amount": 900_000})
    approved = world.call("approver@acme", "POST", f"/v1/invoices/{target}/approve")
    return bool(approved.ok and approved.json["amount"] == 900_000)
