"""A clerk of Globex pages through all vendors and finds one of Acme's."""

from lab.resources.objects import vendor
from lab.world import World

STORY = __doc__
LAYERS = ("scoping", "row_security")


def attack(world: World) -> bool:
    target = vendor(world, "clerk@acme")
    items = world.call("clerk@globex", "GET", "/v1/vendors?limit=100").json["items"]
    return target in {item["id"] for item in items}
