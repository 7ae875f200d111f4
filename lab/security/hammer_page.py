"""A script asks for a page outside the API as fast as it can."""

from http import HTTPStatus

from lab.world import World

STORY = __doc__
LAYERS = ("page_limits",)
#: The lab's server allows a client 30 in each minute of the clock, of which there may be two.
REQUESTS = 61


def attack(world: World) -> bool:
    answers = (world.send("GET", "/oauth/authorize?client_id=demo-web") for _ in range(REQUESTS))
    return all(answer.status != HTTPStatus.TOO_MANY_REQUESTS for answer in answers)
