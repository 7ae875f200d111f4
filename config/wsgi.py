"""The WSGI application. Importing it runs the start-up checks; an error ends the process."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

try:
    application = get_wsgi_application()
    from security.transport import Utf8Request

    application.request_class = Utf8Request
except ImproperlyConfigured as error:
    sys.stderr.write(f"Portcullis does not start: {error}\n")
    raise SystemExit(1) from None

from config.startup import run_checks

run_checks()
