"""A request breaks something, and the answer tells of the inside."""

from lab.world import World

STORY = __doc__
LAYERS = ("errors",)


def attack(world: World) -> bool:
    answer = world.send("GET", "/lab/broken")
    return b"hunter2" in answer.body or b"db.internal" in answer.body
