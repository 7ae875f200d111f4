"""``python -m lab``: list the scenarios, or play them on a throw-away service."""

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psycopg
import redis

from deploy.local import certificates, server
from deploy.local.postgres import ROOT, Postgres, is_root
from deploy.local.processes import Child, Failure
from deploy.local.valkey import Valkey
from lab.scenario import HERE, Play, Scenario, plays, scenarios
from lab.sweep import NO_OPS, RED_PLAYS, copied, edited, reshapes_the_database
from lab.world import World

START_SECONDS = 60
#: How many processes play, each with a database of its own, where there are MANY servers to start.
JOBS = 2
MANY = 12
GREEN, RED, PLAIN = "\033[32m", "\033[31m", "\033[0m"
#: Small, so that a scenario need not make a thousand requests; of the address, for the lab has only one.
LIMITS = {"THROTTLE_SIGN_IN_ADDRESS": "20/60", "THROTTLE_ADDRESS": "100000/60", "THROTTLE_WRITE": "100000/60"}
LIMITS |= {"THROTTLE_PAGE_CLIENT": "30/60"}
LIMITS |= dict.fromkeys(
    ("THROTTLE_TOKEN", "THROTTLE_TOKEN_PRINCIPAL", "THROTTLE_AUTHORIZE", "THROTTLE_INVITE"), "100000/60"
)


@dataclass(frozen=True, slots=True)
class Result:
    play: Play
    succeeded: bool
    unused: tuple[str, ...]

    @property
    def as_it_must_be(self) -> bool:
        return self.succeeded == self.play.must_succeed and not self.unused


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the scenarios and their layers")
    run_parser = commands.add_parser("run", help="play scenarios on a throw-away service")
    run_parser.add_argument("names", nargs="*", metavar="NAME")
    run_parser.add_argument("--all", action="store_true")
    run_parser.add_argument("--report", type=Path, help="write the results as JSON")
    sweep_parser = commands.add_parser(
        "sweep", help="make each control a no-op in a copy of the source; each has to be noticed"
    )
    sweep_parser.add_argument("layers", nargs="*", metavar="LAYER", help="these alone")
    arguments = parser.parse_args()
    known = scenarios(_installed())
    if arguments.command == "sweep":
        return _sweep(known, arguments.layers)
    if arguments.command == "list":
        for scenario in known.values():
            print(f"{scenario.name:<28} {', '.join(scenario.layers):<34} {scenario.story}")
        return 0
    unknown = [name for name in arguments.names if name not in known]
    if unknown or not (arguments.names or arguments.all):
        print(f"Name scenarios, or say --all. There are: {', '.join(known)}.", file=sys.stderr)
        return 2
    chosen = list(known.values()) if arguments.all else [known[name] for name in arguments.names]
    try:
        results = _played(chosen)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 2
    if arguments.report:
        arguments.report.write_text(json.dumps(_report(chosen, results), indent=2) + "\n")
    _print(chosen, results)
    return 0 if all(result.as_it_must_be for result in results) else RED_PLAYS


def _played(chosen: list[Scenario]) -> list[Result]:
    """Every play of the scenarios."""
    groups = grouped(each for scenario in chosen for each in plays(scenario))
    if len(groups) < MANY:
        return _play_share(groups)
    shares = [groups[number::JOBS] for number in range(JOBS)]
    return [result for share in _side_by_side(_play_share, shares) for result in share]


def _play_share(groups: list[list[Play]]) -> list[Result]:
    with Lab() as lab:
        return list(play(lab, groups))


def _side_by_side(function: Any, shares: list[Any]) -> list[Any]:
    """``function`` of each share, in a process for each."""
    # Forked, while there are no threads: a spawned process would not import what is run as ``python -m``.
    with ProcessPoolExecutor(JOBS, mp_context=get_context("fork")) as pool:
        return list(pool.map(function, shares))


def grouped(chosen: Iterable[Play]) -> list[list[Play]]:
    """Those that remove the same share one server."""
    by_removed: dict[frozenset[str], list[Play]] = defaultdict(list)
    for each in chosen:
        by_removed[each.removed].append(each)
    return [together for _, together in sorted(by_removed.items(), key=lambda item: sorted(item[0]))]


def play(lab: "Lab", groups: list[list[Play]]) -> Generator[Result]:
    """Each play of each group, one after the other."""
    with closing(Servers(lab)) as servers:
        for together in groups:
            removed = together[0].removed
            world, used = servers.start(removed)
            for each in together:
                lab.forget_limits()
                succeeded = each.scenario.attack(world)
                unused = tuple(sorted(name for name in removed if not (used / name).exists()))
                yield Result(each, succeeded, unused)


class Lab:
    """PostgreSQL, Valkey and data seeded by ``source``, for one run."""

    def __init__(self, source: Path = ROOT) -> None:
        self.source = source
        self.stack = ExitStack()
        self.tokens: dict[tuple[str, str], tuple[float, str]] = {}

    def __enter__(self) -> "Lab":
        self.directory = Path(
            self.stack.enter_context(tempfile.TemporaryDirectory(prefix="portcullis-", dir="/tmp"))
        )
        if is_root():
            self.directory.chmod(0o711)
        passwords = {role: secrets.token_urlsafe(24) for role in ("superuser", "owner", "service", "ops")}
        log = self.directory / "postgres.log"
        self.postgres = Postgres(self.directory / "data", log=log, passwords=passwords, durable=False)
        self.stack.callback(self.postgres.close)
        self.postgres.start()
        self.valkey = Valkey(log=self.directory / "valkey.log")
        self.stack.callback(self.valkey.close)
        self.valkey.start()
        certificates.ensure(self.directory / "tls")
        self.port = server.free_port()
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings.development",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "ENCRYPTION_KEYS": f"lab:{secrets.token_urlsafe(32)}",
            "BLIND_INDEX_KEY": secrets.token_urlsafe(32),
            "ALLOWED_HOSTS": "localhost",
            "PUBLIC_URL": f"https://localhost:{self.port}",
            "DATABASE_URL": self.postgres.url("service"),
            "DATABASE_OWNER_URL": self.postgres.url("owner"),
            "DATABASE_OPS_URL": self.postgres.url("ops"),
            "VALKEY_URL": self.valkey.url,
            "EMAIL_URL": f"file://{self.directory / 'mail'}",
            "DEMO": "on",
            "DEMO_FILE": str(self.directory / "demo.json"),
            "DEMO_CA_FILE": str(self.directory / "tls" / "ca.pem"),
            # Another source's bytecode may be of the same second.
            **({} if self.source == ROOT else {"PYTHONDONTWRITEBYTECODE": "1"}),
            **LIMITS,
        }
        for command in (["migrate", "--verbosity=0"], ["seed_demo"]):
            subprocess.run(
                [sys.executable, "manage.py", *command], env=self.environment, cwd=self.source, check=True
            )
        return self

    def __exit__(self, *exc: object) -> None:
        self.stack.close()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """PostgreSQL is away."""
        self.postgres.stop()
        try:
            yield
        finally:
            self.postgres.start()

    def forget_limits(self) -> None:
        """A scenario must not be limited because of the one before."""
        with redis.Redis.from_url(self.valkey.url) as client:
            client.flushall()
        with psycopg.connect(self.environment["DATABASE_OWNER_URL"]) as connection:
            connection.execute("DELETE FROM security_quotause")


class Servers:
    """Servers of a lab's source as it is now, one after the other: see lab.preloaded."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.log = lab.directory / "service.log"
        command = server.command(
            lab.port,
            lab.directory / "tls",
            application="lab.asgi:application",
            workers=1,
            module="lab.preloaded",
        )
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.orders = ours.makefile("rw")
            self.child = Child(
                command,
                log=self.log,
                stop_signal=signal.SIGTERM,
                env=lab.environment,
                cwd=lab.source,
                stdin=theirs,
            )

    def start(self, removed: frozenset[str]) -> tuple[World, Path]:
        """A server without ``removed``, and the directory where those layers report that they were met.

        The one before is stopped. Raises Failure.
        """
        used = Path(tempfile.mkdtemp(dir=self.lab.directory))
        order = {"LAB_WITHOUT": ",".join(sorted(removed)), "LAB_USED": str(used)}
        with suppress(ConnectionError):  # if the process has ended, the log says why
            print(json.dumps(order), file=self.orders, flush=True)
            self.orders.readline()  # the one before has been stopped
        world = World(
            self.lab.environment["PUBLIC_URL"],
            str(self.lab.directory / "tls" / "ca.pem"),
            json.loads((self.lab.directory / "demo.json").read_text()),
            self.lab.directory / "mail",
            tokens=self.lab.tokens,
            database_url=self.lab.environment["DATABASE_OWNER_URL"],
            log=self.log,
            outage=self.lab.outage,
        )

        def answers() -> bool:
            try:
                return world.send("GET", "/readyz").ok
            except OSError:
                return False

        self.child.wait_until(answers, what="The lab's server", seconds=START_SECONDS)
        return world, used

    def close(self) -> None:
        self.child.stop()
        self.orders.close()


def _sweep(known: dict[str, Scenario], layers: list[str]) -> int:
    """Each of ``layers``, or all that a scenario has. 0 if every loss is noticed."""
    if layers:
        return 1 if _unnoticed(known, layers) else 0
    every = sorted({layer for scenario in known.values() for layer in scenario.layers} & NO_OPS.keys())
    shares = [every[number::JOBS] for number in range(JOBS)]
    return 1 if any(_side_by_side(partial(_unnoticed, known), shares)) else 0


def _unnoticed(known: dict[str, Scenario], layers: list[str]) -> list[str]:
    """Prints a line for each layer; the names of those whose loss no scenario noticed.

    Only the plays in which the layer stands alone: with its control a no-op, nothing stands.
    """
    unnoticed = []

    def look(lab: Lab, layer: str) -> None:
        groups = grouped(
            each for scenario in known.values() for each in plays(scenario) if each.alone == layer
        )
        with closing(play(lab, groups)) as results:  # the first that tells is enough
            red = any(result.succeeded for result in results)
        print(f"  {layer:<22} made a no-op: {'noticed' if red else 'NOT NOTICED'}", flush=True)
        if not red:
            unnoticed.append(layer)

    with copied(ROOT) as source:
        whole = [layer for layer in layers if not reshapes_the_database(layer)]
        with Lab(source) as lab:
            for layer in whole:
                with edited(source, NO_OPS[layer]):
                    look(lab, layer)
        for layer in set(layers) - set(whole):
            with edited(source, NO_OPS[layer]), Lab(source) as lab:
                look(lab, layer)
    return unnoticed


def _installed() -> set[str]:
    """Directories of lab/ whose app is there: a fork may have deleted the sample domain."""
    return {path.name for path in HERE.iterdir() if (ROOT / path.name / "apps.py").exists()}


def _of(scenario: Scenario, results: list[Result]) -> list[Result]:
    """The results of one scenario, in the order of its plays."""
    by_removed = {result.play.removed: result for result in results if result.play.scenario == scenario}
    return [by_removed[each.removed] for each in plays(scenario) if each.removed in by_removed]


def _report(chosen: list[Scenario], results: list[Result]) -> list[dict[str, object]]:
    return [
        {
            "scenario": scenario.name,
            "story": scenario.story,
            "plays": [
                {
                    "layers": result.play.title,
                    "attack": "succeeded" if result.succeeded else "failed",
                    "as_it_must_be": result.as_it_must_be,
                    "removed_and_never_met": list(result.unused),
                }
                for result in _of(scenario, results)
            ],
        }
        for scenario in chosen
    ]


def _print(chosen: list[Scenario], results: list[Result]) -> None:
    colour = sys.stdout.isatty()
    for scenario in chosen:
        print(f"\n{scenario.name}: {scenario.story}")
        for result in _of(scenario, results):
            outcome = "attack succeeds" if result.succeeded else "attack fails"
            if result.unused:
                outcome += f" (never met: {', '.join(result.unused)})"
            mark = "ok" if result.as_it_must_be else "NOT AS IT MUST BE"
            if colour:
                mark = f"{GREEN if result.as_it_must_be else RED}{mark}{PLAIN}"
            print(f"  {result.play.title:<24} {outcome:<18} {mark}")
    good = sum(result.as_it_must_be for result in results)
    print(f"\n{len(chosen)} scenarios, {good} of {len(results)} plays as they must be.")


if __name__ == "__main__":
    sys.exit(main())
