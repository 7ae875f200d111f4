"""A forged Host is taken for ours, and ends up in links and caches."""

from lab.world import World

STORY = __doc__
LAYERS = ("transport",)


def attack(world: World) -> bool:
    return world.send("GET", "/healthz", Host="evil.example").ok
