"""A clerk of Globex enters an invoice on one of Acme's vendors, named in the body."""

from lab.resources.objects import invoice_body, vendor
from lab.world import World

STORY = __doc__
LAYERS = ("related_scoping", "row_security", "same_tenant")


def attack(world: World) -> bool:
    target = vendor(world, "clerk@acme")
    body = invoice_body(world, target)
    return world.call("clerk@globex", "POST", "/v1/invoices", body).ok
