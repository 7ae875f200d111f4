"""A code is read over the shoulder and used at once by somebody who has the password as well."""

import time

from accounts.management.commands.demo_token import TOTP_SECONDS, Browser, totp
from lab.world import World

STORY = __doc__
LAYERS = ("spent_codes",)
#: From its beginning on, half a minute is long enough for both.
MARGIN_SECONDS = 10


def attack(world: World) -> bool:
    user = world.user("org-admin@globex")
    victim, thief = (Browser(world.base_url, world.ca_file) for _ in range(2))
    for browser in (victim, thief):
        browser.enter_password(user["username"], user["password"])
    if TOTP_SECONDS - time.time() % TOTP_SECONDS < MARGIN_SECONDS:
        time.sleep(MARGIN_SECONDS)  # the service's clock is the real one, and so is the attack's
    seen = None
    while seen is None:  # one that was spent by an earlier play is followed by the next
        code = totp(user["totp_secret"], time.time())
        if victim.send_code(code):
            seen = code
        else:
            time.sleep(TOTP_SECONDS - time.time() % TOTP_SECONDS)  # the next code is not there before
    return bool(thief.send_code(seen))
