"""A gateway in front closes a path to the outside; the same path with a slash at its end goes around it."""

from lab.world import World

STORY = __doc__
LAYERS = ("routes",)


def attack(world: World) -> bool:
    return world.call("auditor@globex", "GET", "/v1/audit-events/").ok
