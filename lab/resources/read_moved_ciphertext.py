"""Somebody who writes to the database moves the ciphertext of their own account into another vendor's row."""

from lab.resources.objects import bank, revealed, vendor
from lab.world import World

STORY = __doc__
LAYERS = ("row_binding",)
OWN = "GB82WEST12345698765432"
PAID = "DE89370400440532013000"


def attack(world: World) -> bool:
    own, target = vendor(world, "clerk@acme"), vendor(world, "clerk@acme")
    bank(world, own, OWN)
    bank(world, target, PAID)
    world.dump(
        f"UPDATE resources_vendor SET iban = (SELECT iban FROM resources_vendor WHERE public_id = '{own}') "
        f"WHERE public_id = '{target}' RETURNING 1"
    )
    return OWN.encode() in revealed(world, target).body
