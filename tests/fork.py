"""``python -m tests.fork``: delete the sample domain in a copy, as a fork does; the tests that are left pass.

They run by the copy's own ``make test``, on servers of its own.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.local.postgres import ROOT

KEPT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".run", "__pycache__", ".*_cache", ".hypothesis", "staticfiles"
)
PARTS = ("resources", "tests/resources", "lab/resources")
LINES = {
    "config/settings/__init__.py": r'^    "resources",\n',
    "config/urls.py": r'^    path\("v1/", include\("resources\.urls"\)\),\n',
}
#: Names that point to the servers, secrets and options of a run around this one.
SERVERS = re.compile(
    r"DATABASE_|VALKEY_|PYTEST_|DJANGO_|MAKE|MFLAGS|SECRET_KEY$|(ENCRYPTION|BLIND_INDEX)_KEY"
)


def without_resources(fork: Path) -> None:
    """Copy this tree to ``fork`` and delete the sample domain: directories, tests, lines."""
    shutil.copytree(ROOT, fork, ignore=KEPT_OUT)
    for part in PARTS:
        shutil.rmtree(fork / part)
    for name, line in LINES.items():
        text, deleted = re.subn(line, "", (fork / name).read_text(), flags=re.MULTILINE)
        assert deleted == 1, name
        (fork / name).write_text(text)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="portcullis-fork-") as directory:
        fork = Path(directory) / "fork"
        without_resources(fork)
        make = ["make", f"VENV={Path(sys.prefix)}"]
        environment = {name: value for name, value in os.environ.items() if not SERVERS.match(name)}
        for target in ("openapi", "release-openapi", "test"):  # a contract of its own begins
            done = subprocess.run([*make, target], cwd=fork, env=environment, check=False)
            if done.returncode != 0:
                break
        clean = [sys.executable, "-m", "deploy.local", "clean"]
        subprocess.run(clean, cwd=fork, env=environment, check=False)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
