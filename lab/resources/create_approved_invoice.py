"""A clerk sends a status along and skips the approvers."""

from lab.resources.objects import invoice_body, vendor
from lab.world import World

STORY = __doc__
LAYERS = ("unknown_fields", "explicit_fields")


def attack(world: World) -> bool:
    body = {**invoice_body(world, vendor(world, "clerk@acme")), "status": "approved"}
    answer = world.call("clerk@acme", "POST", "/v1/invoices", body)
    return answer.ok and answer.json["status"] == "approved"
