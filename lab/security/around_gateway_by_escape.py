"""A gateway in front closes a path to the outside; the same path with a slash escaped goes around it."""

from lab.world import World

STORY = __doc__
LAYERS = ("bridge",)


def attack(world: World) -> bool:
    return world.call("auditor@globex", "GET", "/v1%2Faudit-events").ok
