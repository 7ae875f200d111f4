"""An approver of Globex approves what Acme's clerk submitted."""

from lab.resources.objects import invoice
from lab.world import World

STORY = __doc__
LAYERS = ("scoping", "row_security")


def attack(world: World) -> bool:
    target = invoice(world, "clerk@acme")
    world.call("clerk@acme", "POST", f"/v1/invoices/{target}/submit")
    return world.call("approver@globex", "POST", f"/v1/invoices/{target}/approve").ok
