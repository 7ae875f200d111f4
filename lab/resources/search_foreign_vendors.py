"""A clerk of Globex looks for one of Acme's vendors by the beginning of its name."""

from lab.resources.objects import vendor
from lab.world import World

STORY = __doc__
LAYERS = ("scoping", "row_security")


def attack(world: World) -> bool:
    target = vendor(world, "clerk@acme")
    items = world.call("clerk@globex", "GET", "/v1/vendors?search=vend&limit=100").json["items"]
    return target in {item["id"] for item in items}
