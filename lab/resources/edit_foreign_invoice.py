"""A clerk of Globex changes the amount of one of Acme's drafts."""

from lab.resources.objects import invoice
from lab.world import World

STORY = __doc__
LAYERS = ("scoping", "row_security")


def attack(world: World) -> bool:
    target = invoice(world, "clerk@acme")
    world.call("clerk@globex", "PATCH", f"/v1/invoices/{target}", {"amount": 1})
    return bool(world.call("clerk@acme", "GET", f"/v1/invoices/{target}").json["amount"] == 1)
