"""Twenty passwords are tried on one account within a minute."""

from http import HTTPStatus

from lab.world import World

STORY = __doc__
LAYERS = ("throttling",)


def attack(world: World) -> bool:
    username = world.unique("victim").replace(" ", "") + "@acme.example"
    return all(world.guess(username, f"guess-{number}").status == HTTPStatus.OK for number in range(20))
