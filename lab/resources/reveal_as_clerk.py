"""A clerk, who enters account numbers, reads one that somebody else has entered."""

from lab.resources.objects import REASON, bank, vendor
from lab.world import World

STORY = __doc__
LAYERS = ("roles",)


def attack(world: World) -> bool:
    target = vendor(world, "clerk@acme")
    bank(world, target, "DE89370400440532013000")
    return world.call("clerk@acme", "POST", f"/v1/vendors/{target}/reveal-iban", REASON).ok
