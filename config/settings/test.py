"""Tests: production, relaxed here and nowhere else, each with its reason."""

from config import environment as env
from config import settings as production

globals().update(env.inherit(production))

# A hash that takes no time: hundreds of tests sign in. What hashes real passwords is asserted on the
# production settings.
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.MD5PasswordHasher",
    *production.PASSWORD_HASHERS,
]

# The tests' own limits are small where they test them and out of the way elsewhere.
THROTTLES: dict[str, str] = dict.fromkeys(production.THROTTLES, "100000/60")
PAGE_LIMITS: dict[str, str] = dict.fromkeys(production.PAGE_LIMITS, "100000/60")

# Static files straight from the packages, without collectstatic.
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True
# And looked for when one is asked for: each test client would list all of them first.
WHITENOISE_AUTOREFRESH = True

DEMO = True
