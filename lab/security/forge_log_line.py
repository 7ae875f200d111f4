"""What is searched for has a line break, and the log has a line that the service never wrote."""

import json
from urllib.parse import quote

from lab.world import World

STORY = __doc__
LAYERS = ("log_lines",)


def attack(world: World) -> bool:
    forged = json.dumps({"event": "request", "user": world.unique("somebody else")})
    world.send("GET", f"/lab/talkative?password=x&search={quote(chr(10) + forged)}")
    return forged in world.log.read_text().splitlines()
