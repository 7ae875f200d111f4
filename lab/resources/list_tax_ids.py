"""An auditor lists the vendors, and has the tax id of every one of them."""

from lab.resources.objects import vendor
from lab.world import World

STORY = __doc__
LAYERS = ("masking",)
TAX_ID = "SE556677889901"


def attack(world: World) -> bool:
    target = vendor(world, "clerk@globex")
    world.call("clerk@globex", "PATCH", f"/v1/vendors/{target}", {"tax_id": TAX_ID})
    return TAX_ID.encode() in world.call("auditor@globex", "GET", "/v1/vendors?limit=100").body
