"""Several processes run the tests: each has a Valkey database of its own, beside its PostgreSQL database.

A plugin named on the command line is imported before the settings are read.
"""

import os

worker = os.environ.get("PYTEST_XDIST_WORKER", "")  # gw0, gw1 …
url = os.environ.get("VALKEY_URL", "")
# A run inside a test of this one, in a fork's copy, inherits both and shares the database of its worker.
if worker and "db=" not in url:
    os.environ["VALKEY_URL"] = f"{url}{'&' if '?' in url else '?'}db={int(worker.removeprefix('gw')) + 1}"
