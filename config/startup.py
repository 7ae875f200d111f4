"""Start-up under any server: the system checks run here, and an error ends the process.

Application servers import the application and serve; none of them runs Django's checks. So this module
does, with the deployment checks and the walk of the URLconf that ``security.policy`` registers, before
there is an application to serve. ``SystemExit`` leaves the importing worker, and the server with it.
"""

import sys

from django.conf import settings
from django.core import checks


def run_checks() -> None:
    """Run every system check; from settings.STARTUP_FAIL_LEVEL up, print it and end the process (exit 1)."""
    level = getattr(checks, settings.STARTUP_FAIL_LEVEL)
    failures = [
        message
        for message in checks.run_checks(include_deployment_checks=True)
        if message.level >= level and not message.is_silenced()
    ]
    if not failures:
        return
    lines = [str(message) for message in failures]
    sys.stderr.write("Portcullis does not start:\n" + "\n".join(lines) + "\n")
    sys.stderr.flush()
    raise SystemExit(1)
