"""A treasurer who is about to leave reads one account number after the other."""

from lab.resources.objects import bank, revealed, vendor
from lab.world import World

STORY = __doc__
LAYERS = ("quotas",)
A_DAY = 20


def attack(world: World) -> bool:
    target = vendor(world, "clerk@acme")
    bank(world, target, "DE89370400440532013000")
    return sum(revealed(world, target).ok for _ in range(A_DAY + 1)) > A_DAY
