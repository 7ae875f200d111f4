"""An administrator about to be removed invites a second address of theirs, and comes back by its link."""

from django.core.management.base import CommandError

from accounts.management.commands.demo_token import Browser
from lab.accounts.people import accept, join, member_id
from lab.world import World

STORY = __doc__
LAYERS = ("inviting_right",)


def attack(world: World) -> bool:
    mallory, puppet = join(world, "org_admin"), world.unique("puppet").replace(" ", "") + "@new.example"
    body = {"email": puppet, "role": "org_admin"}
    world.call_with(mallory.token(), "POST", "/v1/invitations", body)
    world.call("org-admin@acme", "DELETE", f"/v1/members/{member_id(world, mallory.email)}")
    browser = Browser(world.base_url, world.ca_file)
    fields = {"name": "A puppet", "password": "a quite unusual pass phrase"}
    try:
        return accept(browser, world.mailed_link(puppet), **fields) == 303
    except CommandError:  # there is no form
        return False
