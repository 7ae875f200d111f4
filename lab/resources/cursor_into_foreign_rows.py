"""A cursor made from another tenant's id opens the page behind it."""

from lab.resources.objects import invoice
from lab.world import World

STORY = __doc__
LAYERS = ("scoping", "row_security")


def attack(world: World) -> bool:
    behind = invoice(world, "clerk@acme")
    cursor = invoice(world, "clerk@acme")
    items = world.call("clerk@globex", "GET", f"/v1/invoices?cursor={cursor}&limit=100").json["items"]
    return behind in {item["id"] for item in items}
