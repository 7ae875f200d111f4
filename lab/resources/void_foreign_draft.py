"""A clerk of Globex voids one of Acme's drafts."""

from lab.resources.objects import invoice
from lab.world import World

STORY = __doc__
LAYERS = ("scoping", "row_security")


def attack(world: World) -> bool:
    target = invoice(world, "clerk@acme")
    return world.call("clerk@globex", "POST", f"/v1/invoices/{target}/void").ok
