"""``python -m contract.rules [DOCUMENT]``: does openapi.yaml keep OWASP's rules, and redocly's own?

No error and no warning is let through; overrides of rules are in contract/lint, each with its reason. The
linters run in Node and are installed, by their lock, into the virtual environment's directory. Without Node
nothing is run, and that is said; with REQUIRE_NODE=1, as in the gate, it is a failure.
"""

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "contract" / "lint"
LINTERS = Path(sys.prefix) / "openapi-linters"
PACKAGES = ("package.json", "package-lock.json")
LINTINGS = (
    ("spectral", "lint", "--quiet", "--fail-severity", "hint", "--ruleset", "spectral.yaml"),
    ("redocly", "lint", "--config", "redocly.yaml"),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m contract.rules")
    parser.add_argument("document", nargs="?", type=Path, default=ROOT / "openapi.yaml")
    document = parser.parse_args().document.resolve()
    if not (shutil.which("node") and shutil.which("npm")):
        return _not_run("there is no Node here")
    if not _install():
        return _not_run("npm cannot install the linters here")
    return max([_run(linting, document) for linting in LINTINGS])


def _not_run(why: str) -> int:
    sys.stdout.write(f"Not run: {why}.\n")
    return int(os.environ.get("REQUIRE_NODE") == "1")


def _install() -> bool:
    """Whether the linters of the lock are there, or could be installed; of several processes, by one."""
    LINTERS.mkdir(exist_ok=True)
    with (LINTERS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = "".join((SOURCE / name).read_text() for name in PACKAGES)
        installed = LINTERS / ".installed"  # written last: what was interrupted is begun anew
        if installed.exists() and installed.read_text() == wanted:
            return True
        installed.unlink(missing_ok=True)
        for name in PACKAGES:
            shutil.copy(SOURCE / name, LINTERS)
        command = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
        if subprocess.run(command, cwd=LINTERS, check=False).returncode != 0:
            return False
        installed.write_text(wanted)
    return True


def _run(linting: tuple[str, ...], document: Path) -> int:
    """The linter's exit status, in a directory of this run's own: others may lint another document."""
    linter, *arguments = linting
    with tempfile.TemporaryDirectory(prefix="run-", dir=LINTERS) as directory:
        for rules in SOURCE.glob("*.yaml"):
            shutil.copy(rules, directory)
        shutil.copy(document, Path(directory) / "openapi.yaml")
        quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
        command = (str(LINTERS / "node_modules" / ".bin" / linter), *arguments, "openapi.yaml")
        return subprocess.run(command, cwd=directory, env={**os.environ, **quiet}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
