"""A contact of Acme's, who may see one vendor, knows the id of another and reads it."""

from lab.resources.objects import vendor
from lab.world import World

STORY = __doc__
LAYERS = ("scoping", "row_security")


def attack(world: World) -> bool:
    target = vendor(world, "clerk@acme")
    return world.call("contact@acme", "GET", f"/v1/vendors/{target}").ok
