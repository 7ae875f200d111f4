"""A clerk of Globex lists the invoices below one of Acme's vendors, by the vendor's id in the path."""

from lab.resources.objects import invoice_body, vendor
from lab.world import World

STORY = __doc__
LAYERS = ("scoping", "row_security")


def attack(world: World) -> bool:
    above = vendor(world, "clerk@acme")
    world.call("clerk@acme", "POST", "/v1/invoices", invoice_body(world, above))
    answer = world.call("clerk@globex", "GET", f"/v1/vendors/{above}/invoices")
    return answer.ok and bool(answer.json["items"])
