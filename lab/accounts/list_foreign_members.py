"""An administrator of Globex lists members, and looks for people of Acme."""

from lab.world import World

STORY = __doc__
LAYERS = ("scoping", "row_security")


def attack(world: World) -> bool:
    items = world.call("org-admin@globex", "GET", "/v1/members?limit=100").json["items"]
    return any(item["email"].endswith("@acme.example") for item in items)
