"""A clerk enters an account number as a tax id, which nobody verifies, and an accomplice moves it."""

from lab.resources.objects import bank, revealed, vendor
from lab.world import World

STORY = __doc__
LAYERS = ("column_binding",)
OWN = "GB82WEST12345698765432"


def attack(world: World) -> bool:
    target = vendor(world, "clerk@acme")
    bank(world, target, "DE89370400440532013000")
    world.call("clerk@acme", "PATCH", f"/v1/vendors/{target}", {"tax_id": OWN})
    world.dump(f"UPDATE resources_vendor SET iban = tax_id WHERE public_id = '{target}' RETURNING 1")
    return OWN.encode() in revealed(world, target).body
