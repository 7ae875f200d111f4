"""An old version of an operation ended years ago, and is still called."""

from lab.world import World

STORY = __doc__
LAYERS = ("sunset",)


def attack(world: World) -> bool:
    return world.call("auditor@acme", "GET", "/v1/lab-old").ok
