"""A view has slipped past the start-up checks: it declares nothing, and anybody with a token calls it."""

from lab.world import World

STORY = __doc__
LAYERS = ("deny_all",)


def attack(world: World) -> bool:
    return world.call("contact@globex", "GET", "/lab/undeclared").ok
