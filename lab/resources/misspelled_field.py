"""A misspelled field is dropped silently, and the caller believes that it was written."""

from lab.resources.objects import invoice_body, vendor
from lab.world import World

STORY = __doc__
LAYERS = ("unknown_fields",)


def attack(world: World) -> bool:
    body = {**invoice_body(world, vendor(world, "clerk@acme")), "internal_noet": "do not pay"}
    return world.call("clerk@acme", "POST", "/v1/invoices", body).ok
