"""Requests with a target of 60 kB each, which nobody needs to be known for, fill memory and log."""

from lab.world import World

STORY = __doc__
LAYERS = ("limits",)


def attack(world: World) -> bool:
    return world.send("GET", "/healthz?" + "x" * 60_000).ok
