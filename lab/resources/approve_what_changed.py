"""An approver reads an invoice over 1,000; before they approve it, the clerk makes it 900,000."""

from lab.resources.objects import submitted_invoice
from lab.world import World

STORY = __doc__
LAYERS = ("field_access", "preconditions")


def attack(world: World) -> bool:
    path = f"/v1/invoices/{submitted_invoice(world, 'acme')}"
    seen = world.call("approver@acme", "GET", path).headers["ETag"]
    world.call("clerk@acme", "PATCH", path, {"amount": 900_000})
    approved = world.call("approver@acme", "POST", f"{path}/approve", If_Match=seen)
    return bool(approved.ok and approved.json["amount"] == 900_000)
