"""A contact reads what the clerk noted about them on an invoice that they may see."""

from lab.resources.objects import invoice_body, shared_vendor
from lab.world import World

STORY = __doc__
LAYERS = ("field_access",)


def attack(world: World) -> bool:
    body = invoice_body(world, shared_vendor(world, "acme")) | {"internal_note": "They always overcharge"}
    target = world.call("clerk@acme", "POST", "/v1/invoices", body).json["id"]
    return b"overcharge" in world.call("contact@acme", "GET", f"/v1/invoices/{target}").body
