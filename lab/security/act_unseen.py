"""An outsider tries the door of the audit trail, and nothing tells of it."""

from lab.world import World

STORY = __doc__
LAYERS = ("audit",)


def attack(world: World) -> bool:
    refused = world.call("contact@globex", "GET", "/v1/audit-events")
    trail = world.call("auditor@globex", "GET", "/v1/audit-events?event=api:request:forbidden&limit=100").json
    return refused.headers["X-Request-ID"] not in {event["request_id"] for event in trail["items"]}
