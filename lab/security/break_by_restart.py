"""The database is restarted, and the service is broken for longer than that."""

from http import HTTPStatus

from lab.world import World

STORY = __doc__
LAYERS = ("availability",)
#: More than the server has threads, each of which keeps a connection.
REQUESTS = 8


def attack(world: World) -> bool:
    with world.outage():
        meanwhile = world.send("GET", "/readyz")
    healed = all(world.send("GET", "/readyz").ok for _ in range(REQUESTS))
    return meanwhile.status != HTTPStatus.SERVICE_UNAVAILABLE or not healed
