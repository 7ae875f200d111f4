"""Sends a header that a gateway strikes out, in another spelling of its name."""

import http.client

from lab.world import World

STORY = __doc__
LAYERS = ("bridge",)
#: What makes OPTIONS a question of a browser's (Fetch, section 3.2.2). Without, nothing here takes it.
QUESTION = "Access_Control_Request_Method"


def attack(world: World) -> bool:
    """Whether the service goes by the header."""
    connection = http.client.HTTPSConnection(world.host, world.port, context=world.context, timeout=30)
    try:
        connection.request("OPTIONS", "/v1/me", headers={"Origin": world.base_url, QUESTION: "GET"})
        return connection.getresponse().status == http.client.OK
    finally:
        connection.close()
