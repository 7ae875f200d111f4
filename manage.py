#!/usr/bin/env python
"""Django's command line, with the production settings unless told otherwise.

Beside a service that `make run` started, and without settings of the caller's, commands act on that service.
"""

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCAL = ROOT / ".run" / "environment.json"
PYTHON = ROOT / ".venv" / "bin" / "python"


def main() -> None:
    if "DJANGO_SETTINGS_MODULE" not in os.environ and LOCAL.exists():
        for name, value in json.loads(LOCAL.read_text()).items():
            os.environ.setdefault(name, value)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError:
        if PYTHON.exists() and Path(sys.prefix) != PYTHON.parent.parent:
            os.execv(PYTHON, [str(PYTHON), *sys.argv])  # noqa: S606  the project's own interpreter
        raise
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Portcullis does not start: {error}")


if __name__ == "__main__":
    main()
