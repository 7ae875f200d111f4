"""Somebody on the way out takes a whole table with one request."""

from lab.world import World

STORY = __doc__
LAYERS = ("pagination",)
ROWS = 150
STATEMENT = f"""
INSERT INTO security_auditevent
       (public_id, occurred_at, event, organisation_id, client_id, target_type, detail, count)
SELECT gen_random_uuid(), now(), 'lab:row:made', organisation.id, '', '', '{{}}', 1
  FROM generate_series(1, {ROWS}), accounts_organisation organisation WHERE organisation.name = 'Globex'
"""


def attack(world: World) -> bool:
    world.arrange(STATEMENT)
    answer = world.call("auditor@globex", "GET", "/v1/audit-events?event=lab:row:made&limit=100000")
    return answer.ok and len(answer.json["items"]) >= ROWS
