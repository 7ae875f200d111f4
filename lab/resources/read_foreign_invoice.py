"""A clerk of Globex knows the id of one of Acme's invoices, and reads it."""

from lab.resources.objects import invoice
from lab.world import World

STORY = __doc__
LAYERS = ("scoping", "row_security")


def attack(world: World) -> bool:
    target = invoice(world, "clerk@acme")
    return world.call("clerk@globex", "GET", f"/v1/invoices/{target}").ok
