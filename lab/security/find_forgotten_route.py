"""A route that is in no document, so that nobody reviewed or filters it, is found by guessing."""

from lab.world import World

STORY = __doc__
LAYERS = ("inventory",)


def attack(world: World) -> bool:
    return world.call("auditor@acme", "GET", "/v1/lab-forgotten").ok
