"""Two people use one browser, one after the other, and its cache shows the second what the first was sent."""

from lab.world import World

STORY = __doc__
LAYERS = ("headers",)


def attack(world: World) -> bool:
    answer = world.call("auditor@acme", "GET", "/v1/me")
    # What a browser's own cache goes by (RFC 9111 sections 3 and 4.1); only a shared one minds Authorization.
    kept = "no-store" not in answer.headers.get("Cache-Control", "")
    told_apart = "authorization" in answer.headers.get("Vary", "").lower()
    return answer.ok and kept and not told_apart
