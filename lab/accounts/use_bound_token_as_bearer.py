"""A token that is bound to a key leaks into a log, and whoever reads it sends it as Bearer."""

from lab.accounts.flow import bound_token
from lab.world import World

STORY = __doc__
LAYERS = ("token_scheme", "proof_of_possession")


def attack(world: World) -> bool:
    token, key, nonce = bound_token(world, "auditor@acme")
    proof = key.proof("GET", "/v1/me", nonce=nonce, token=token)
    world.send("GET", "/v1/me", Authorization=f"DPoP {token}", DPoP=proof)  # its owner's
    return world.send("GET", "/v1/me", Authorization=f"Bearer {token}").ok
