"""A report was written in a hurry: no rule, no filter, every row of the audit trail."""

from lab.world import World

STORY = __doc__
LAYERS = ("row_security",)


def attack(world: World) -> bool:
    for who in ("auditor@acme", "auditor@globex"):
        world.call(who, "GET", "/v1/me?unheard_of=1")  # leaves an event in each organisation
    answer = world.call("auditor@globex", "GET", "/lab/report")
    return len(set(answer.body.split())) > 1
