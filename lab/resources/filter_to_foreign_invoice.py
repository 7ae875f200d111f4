"""A filter by status brings up another tenant's invoice."""

from lab.resources.objects import invoice
from lab.world import World

STORY = __doc__
LAYERS = ("scoping", "row_security")


def attack(world: World) -> bool:
    target = invoice(world, "clerk@acme")
    items = world.call("clerk@globex", "GET", "/v1/invoices?status=draft&limit=100").json["items"]
    return target in {item["id"] for item in items}
