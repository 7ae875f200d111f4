"""A script in the victim's browser makes proofs for later, with nonces that the service has yet to give."""

import base64
import secrets
import time

from lab.accounts.flow import bound_token
from lab.world import World

STORY = __doc__
LAYERS = ("keyring",)


def attack(world: World) -> bool:
    token, key, _ = bound_token(world, "auditor@globex")
    body = int(time.time()).to_bytes(5, "big") + secrets.token_bytes(6)
    nonce = base64.urlsafe_b64encode(body + secrets.token_bytes(16)).rstrip(b"=").decode()
    proof = key.proof("GET", "/v1/me", nonce=nonce, token=token)
    return world.send("GET", "/v1/me", Authorization=f"DPoP {token}", DPoP=proof).ok
