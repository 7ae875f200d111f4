"""Somebody gets hold of the link in another's mail, and accepts it in their own session."""

from accounts.management.commands.demo_token import Browser
from lab.accounts.people import invite, join, member_id
from lab.world import World

STORY = __doc__
LAYERS = ("invited_address",)


def attack(world: World) -> bool:
    bob = join(world, "auditor")
    world.call("org-admin@acme", "DELETE", f"/v1/members/{member_id(world, bob.email)}")
    link = invite(world, bob.email, "org_admin")
    eve, browser = world.user("auditor@globex"), Browser(world.base_url, world.ca_file)
    browser.sign_in(eve["username"], eve["password"])
    # A good CSRF token of Eve's session, from a page that has a form for anybody.
    form = browser.form(invite(world, world.unique("x").replace(" ", "") + "@new.example", "auditor"))
    status, _, _ = browser.send(link, form)
    return status == 303
