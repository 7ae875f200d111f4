"""A gateway in front keeps everybody from one object, by its id; the id in capitals is another to it."""

from lab.accounts.flow import signed_in
from lab.world import World

STORY = __doc__
LAYERS = ("identifiers",)


def attack(world: World) -> bool:
    signed_in(world, "auditor@globex")
    session = world.call("auditor@globex", "GET", "/v1/me/sessions?limit=1").json["items"][0]["id"]
    return world.call("auditor@globex", "DELETE", f"/v1/me/sessions/{session.upper()}").ok
