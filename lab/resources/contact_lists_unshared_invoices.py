"""A contact of Acme's, who may see one vendor, pages through the invoices of all."""

from lab.resources.objects import invoice
from lab.world import World

STORY = __doc__
LAYERS = ("scoping", "row_security")


def attack(world: World) -> bool:
    target = invoice(world, "clerk@acme")
    items = world.call("contact@acme", "GET", "/v1/invoices?limit=100").json["items"]
    return target in {item["id"] for item in items}
