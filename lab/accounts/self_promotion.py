"""An administrator was demoted, and uses the token from before to become one again."""

from lab.accounts.people import demoted, member_id
from lab.world import World

STORY = __doc__
LAYERS = ("roles", "administrators", "own_membership")


def attack(world: World) -> bool:
    mallory, token = demoted(world)
    path = f"/v1/members/{member_id(world, mallory.email)}"
    return world.call_with(token, "PATCH", path, {"role": "org_admin"}).ok
