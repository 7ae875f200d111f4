"""A body carries two amounts: a filter in front reads the first, the service the last."""

import json

from lab.resources.objects import invoice_body, vendor
from lab.world import World

STORY = __doc__
LAYERS = ("json_parser",)


def attack(world: World) -> bool:
    body = json.dumps(invoice_body(world, vendor(world, "clerk@acme")))
    twice = body.replace('"amount": 1000', '"amount": 1, "amount": 99999')
    answer = world.call("clerk@acme", "POST", "/v1/invoices", twice.encode())
    return answer.ok and answer.json["amount"] == 99999
