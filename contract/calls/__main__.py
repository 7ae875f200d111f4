"""``python -m contract.calls``: serve the API on a throw-away database, and call it as three roles.

Every answer is judged by openapi.yaml: no 5xx, no status, header or body that it does not document, no
accepted invalid request, no refused valid one. Then it is counted whether each operation that a role is
permitted was reached: at least 20 answers of 2xx, a fifth of its examples in a smaller run, or it fails.

Run it by `make schemathesis` (everything) or `make schemathesis EXAMPLES=20` (less of it).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import django
from django.conf import settings

from deploy.local.postgres import ROOT

django.setup()  # before what knows the models

from tests.live.service import Service  # noqa: E402  as above

HERE = Path(__file__).parent
ROLES = ("clerk", "treasurer", "org_admin")
#: Answers of 2xx that each permitted operation needs.
REACHED = 20
#: The run's own limits: above what it sends in a minute or a day. They are raised, not removed.
LIMITS = {f"THROTTLE_{name.upper()}": "10000000/60" for name in settings.THROTTLES}
LIMITS |= {f"QUOTA_{name.upper()}": "10000000/86400" for name in settings.QUOTAS}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m contract.calls")
    parser.add_argument("--examples", type=int, default=300, help="calls an operation and phase")
    parser.add_argument("--roles", nargs="+", default=list(ROLES))
    parser.add_argument("--phases", default="examples,coverage,fuzzing,stateful")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--include", default="", help="only operations whose path matches")
    arguments = parser.parse_args()
    arguments.reached = min(REACHED, max(1, arguments.examples // 5))
    with tempfile.TemporaryDirectory(prefix="portcullis-", dir="/tmp") as scratch:
        directory = Path(scratch)
        service = Service(directory, LIMITS)
        service.prepare()
        try:
            service.start()
            started = time.monotonic()
            runs = {role: start(role, service, directory, arguments) for role in arguments.roles}
            statuses = {role: run.wait() for role, run in runs.items()}
            seconds = time.monotonic() - started
        finally:
            service.stop()
        missed = []
        for role, status in statuses.items():
            print((directory / f"{role}.log").read_text())
            missed += count(role, directory / f"{role}.json", arguments)
            if status:
                missed.append(f"{role}: schemathesis found something")
    print(f"\n{seconds:.0f} s.")
    for line in missed:
        print(f"NOT AS IT MUST BE: {line}")
    return 1 if missed else 0


def start(
    role: str, service: Service, directory: Path, arguments: argparse.Namespace
) -> subprocess.Popen[str]:
    environment = {
        **service.environment,
        # Arranges objects as the owner, whom no policy binds; the service is called over HTTPS.
        "DJANGO_SETTINGS_MODULE": "config.settings.test",
        "DATABASE_URL": service.environment["DATABASE_OWNER_URL"],
        "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
        "CONTRACT_ROLE": role,
        "CONTRACT_REPORT": str(directory / f"{role}.json"),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "120",
    }
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")]
    command += ["run", str(ROOT / "openapi.yaml"), "--url", service.base_url]
    command += ["--tls-verify", str(service.directory / "tls" / "ca.pem"), "--no-color"]
    command += ["--max-examples", str(arguments.examples), "--phases", arguments.phases]
    command += ["--checks", "all", "--seed", str(arguments.seed)]
    if arguments.include:
        command += ["--include-path-regex", arguments.include]
    with (directory / f"{role}.log").open("w") as log:
        return subprocess.Popen(command, cwd=directory, env=environment, stdout=log, stderr=log, text=True)


def count(role: str, file: Path, arguments: argparse.Namespace) -> list[str]:
    """Print what each operation answered, and name those that were permitted and not reached."""
    if not file.exists():
        return [f"{role}: there is no report"]
    report = json.loads(file.read_text())
    needed = set(report["needed"]) | allowed_by_matrix(role)
    missed = []
    print(f"\n{role:<44} 2xx   of")
    for name, statuses in sorted(report["counts"].items()):
        good = sum(number for status, number in statuses.items() if status.startswith("2"))
        rest = " ".join(f"{status}:{number}" for status, number in sorted(statuses.items()))
        mark = "permitted" if name in needed else ""
        print(f"  {name:<42} {good:>4} {sum(statuses.values()):>5}  {mark:<9}  {rest}")
        if name in needed and good < arguments.reached:
            missed.append(f"{role}: {name} was reached {good} times, not {arguments.reached}")
    if not arguments.include:
        missed += [f"{role}: {name} was never called" for name in sorted(needed - report["counts"].keys())]
    return missed


def allowed_by_matrix(role: str) -> set[str]:
    """Operations that the authorization matrix allows ``role``."""
    rows = {}
    for file in ROOT.glob("tests/*/matrix.toml"):
        rows.update(tomllib.loads(file.read_text()))
    return {name for name, row in rows.items() if 200 <= row.get(role, 0) < 300}


if __name__ == "__main__":
    sys.exit(main())
