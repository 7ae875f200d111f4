"""One common password is tried on forty accounts, each once, from one address."""

from http import HTTPStatus

from lab.world import World

STORY = __doc__
LAYERS = ("throttling",)


def attack(world: World) -> bool:
    people = [world.unique("victim").replace(" ", "") + "@acme.example" for _ in range(40)]
    return all(world.guess(person, "Summer2026!!").status == HTTPStatus.OK for person in people)
