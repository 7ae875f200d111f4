"""The application that the server runs. Importing it runs the start-up checks; an error ends the process."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

try:
    handler = get_wsgi_application()
    from django.conf import settings

    from security.bridge import Bridge
    from security.transport import Utf8Request

    handler.request_class = Utf8Request
    application = Bridge(handler, threads=settings.THREADS)
except ImproperlyConfigured as error:
    sys.stderr.write(f"Portcullis does not start: {error}\n")
    raise SystemExit(1) from None

from config.startup import run_checks

run_checks()
