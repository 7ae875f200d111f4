"""A contact to whom a vendor was shown changes its address for remittances."""

from lab.resources.objects import shared_vendor
from lab.world import World

STORY = __doc__
LAYERS = ("roles", "row_security")


def attack(world: World) -> bool:
    target = shared_vendor(world, "acme")
    address = {"contact_email": "carol@evil.example"}
    return world.call("contact@acme", "PATCH", f"/v1/vendors/{target}", address).ok
