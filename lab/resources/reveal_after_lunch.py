"""A treasurer signed in ten minutes ago and left; whoever sits at the browser now reads an account number."""

import hashlib

from lab.resources.objects import bank, revealed, vendor
from lab.world import World

STORY = __doc__
LAYERS = ("step_up",)
AWAY = "interval '10 minutes'"


def attack(world: World) -> bool:
    target = vendor(world, "clerk@acme")
    bank(world, target, "DE89370400440532013000")
    age(world, f"- {AWAY}")
    try:
        return revealed(world, target).ok
    finally:
        age(world, f"+ {AWAY}")  # other scenarios use the token as well


def age(world: World, by: str) -> None:
    """When the sign-in behind the treasurer's token was, moved."""
    digest = hashlib.sha256(world.token("treasurer@acme").encode()).hexdigest()
    world.dump(
        f"UPDATE oauth_accesstoken SET auth_time = auth_time {by} "
        f"WHERE token_checksum = '{digest}' RETURNING 1"
    )
