"""An administrator looks up in the audit trail what the auditors know."""

from lab.world import World

STORY = __doc__
LAYERS = ("audit_trail",)


def attack(world: World) -> bool:
    return world.call("org-admin@globex", "GET", "/v1/audit-events").ok
