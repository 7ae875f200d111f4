"""A client's record says that its keys are at an address inside, and the service calls there."""

import json
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

from accounts.management.commands.demo_token import base64url
from lab.world import World

STORY = __doc__
LAYERS = ("outbound",)
KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
STATEMENT = """
INSERT INTO oauth_application
SELECT (jsonb_populate_record(client, jsonb_build_object(
    'id', nextval(pg_get_serial_sequence('oauth_application', 'id')), 'client_id', '{client_id}',
    'client_jwks', NULL, 'client_jwks_uri', '{uri}'))).*
  FROM oauth_application client WHERE client_id = 'demo-fapi'
"""


def attack(world: World) -> bool:
    client_id = secrets.token_hex(8)
    with socket.create_server(("127.0.0.1", 0)) as inside, ThreadPoolExecutor() as pool:
        inside.settimeout(0.05)
        uri = f"https://127.0.0.1:{inside.getsockname()[1]}/keys"
        world.arrange(STATEMENT.format(client_id=client_id, uri=uri))
        asked = pool.submit(ask, world, client_id)
        while not asked.done():
            if _is_called(inside):
                return True
        return _is_called(inside)


def ask(world: World, client_id: str) -> None:
    """For a token, with an assertion whose signature cannot be judged without the keys."""
    header, claims = ({"alg": "ES256"}, {"sub": client_id})
    parts = [base64url(json.dumps(part).encode()) for part in (header, claims)]
    form = {
        "grant_type": "authorization_code",
        "code": "x",
        "client_assertion_type": KIND,
        "client_assertion": ".".join([*parts, "AAAA"]),
    }
    kind = "application/x-www-form-urlencoded"
    world.send("POST", "/oauth/token", urlencode(form).encode(), Content_Type=kind)


def _is_called(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except TimeoutError:
        return False
    return True
