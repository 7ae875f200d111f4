"""Somebody who has a copy of the database finds out which organisations pay to the same account."""

from lab.resources.objects import bank, vendor
from lab.world import World

STORY = __doc__
LAYERS = ("blind_index",)
IBAN = "NO9386011117947"


def attack(world: World) -> bool:
    for organisation in ("acme", "globex"):
        bank(world, vendor(world, f"clerk@{organisation}"), IBAN, organisation=organisation)
    shared = (
        "SELECT 1 FROM resources_vendor a JOIN resources_vendor b ON a.organisation_id < b.organisation_id "
        "WHERE a.iban_index <> '' AND (a.iban_index = b.iban_index OR a.iban_token = b.iban_token)"
    )
    return bool(world.dump(shared))
