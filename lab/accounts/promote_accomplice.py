"""An administrator was demoted, and uses the token from before to make an accomplice one."""

from lab.accounts.people import demoted, join, member_id
from lab.world import World

STORY = __doc__
LAYERS = ("roles", "administrators")


def attack(world: World) -> bool:
    _, token = demoted(world)
    path = f"/v1/members/{member_id(world, join(world, 'auditor').email)}"
    return world.call_with(token, "PATCH", path, {"role": "org_admin"}).ok
