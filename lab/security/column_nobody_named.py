"""An answer shows a column that nobody meant to show: the number from which one counts the tenants."""

from lab.world import World

STORY = __doc__
LAYERS = ("serializers",)


def attack(world: World) -> bool:
    world.call("auditor@globex", "GET", "/v1/audit-events?limit=0")  # leaves an event
    items = world.call("auditor@globex", "GET", "/v1/audit-events?limit=1").json["items"]
    return any("organisation_id" in item for item in items)
