"""A whole request is overheard, token and proof, and sent a second time."""

from lab.accounts.flow import bound_token
from lab.world import World

STORY = __doc__
LAYERS = ("proof_replay",)


def attack(world: World) -> bool:
    token, key, nonce = bound_token(world, "auditor@acme")
    proof = key.proof("GET", "/v1/me", nonce=nonce, token=token)
    owner, thief = (world.send("GET", "/v1/me", Authorization=f"DPoP {token}", DPoP=proof) for _ in range(2))
    return owner.ok and thief.ok
