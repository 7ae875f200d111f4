"""A password is logged beside a search, and lies there for whoever reads logs."""

from urllib.parse import quote

from lab.world import World

STORY = __doc__
LAYERS = ("log_redaction",)


def attack(world: World) -> bool:
    password = world.unique("hunter")
    world.send("GET", f"/lab/talkative?search=x&password={quote(password)}")
    return password in world.log.read_text()
