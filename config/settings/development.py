"""Development: production, relaxed here and nowhere else, each with its reason."""

from config import environment as env
from config import settings as production

globals().update(env.inherit(production))

# Deployment warnings are advice on a developer's machine; errors still end the process.
STARTUP_FAIL_LEVEL = "ERROR"

# localhost is shared by every project of a developer's: the shortest time that the contract permits, and no
# preload list.
SECURE_HSTS_SECONDS = 31_536_000
SECURE_HSTS_PRELOAD = False

# Static files straight from the packages: there is no collectstatic on a developer's machine.
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True
