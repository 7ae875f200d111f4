"""``python -m fuzzing``: requests made from the OpenAPI document, spoilt, at the service as it is served.

Run by ``make fuzz``. The service is granian over HTTPS with a real PostgreSQL and Valkey, because what is
asked of it is about the whole: no answer of 500 and above, none later than two seconds, and memory that stays
flat. Bodies are those of the contract tests' good requests, varied along their schemas; headers, paths, query
strings and framing are varied beside them. Every answer is looked at as those of the tests are
(tests.answers): an undocumented status, a body off the schema or a leak is a finding as well.

A request depends on the seed and its number alone, and on the people and objects, which are new in each run,
and their versions.
A finding is printed with both, and as it went over the line. It ends with 1 where there was a finding, or
where less than 30 % of the requests got past the JSON parser.
"""

import argparse
import http.client
import json
import os
import re
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import django

from deploy.local import server
from fuzzing.shots import Cast, Good, Page, Shot, Versions, parses, printable, shot
from fuzzing.target import HANG_SECONDS, Answer, Line, Target

CLIENTS = 6
#: New people, objects and tokens this often: objects are used up, and some calls need a recent sign-in.
CAST_SECONDS = 15
#: How often an answer is asked for again that was late.
RETRIES = 2
MIN_PARSED = 0.30
#: What the workers may grow by after the first tenth of the requests, together.
MAX_GROWTH_BYTES = 32 * 2**20
MAX_FINDINGS = 20
PAGE_FIELDS = (
    "grant_type", "code", "client_id", "client_secret", "redirect_uri", "code_verifier", "scope", "resource",
    "refresh_token", "token", "token_type_hint", "client_assertion", "client_assertion_type", "request_uri",
    "response_type", "state", "code_challenge", "code_challenge_method", "username", "password", "login",
    "csrfmiddlewaretoken", "decision", "organisation", "next", "email", "name", "new_password1",
)  # fmt: skip


class Tally:
    """What was seen. One lock for all of it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sent = 0
        self.parsed = 0
        self.statuses: Counter[int] = Counter()
        self.slowest = 0.0
        self.slow = 0
        self.findings: list[str] = []
        self.operations: Counter[str] = Counter()
        self.memory: list[tuple[int, int]] = []

    def find(self, text: str) -> None:
        with self.lock:
            self.findings.append(text)
            if len(self.findings) <= MAX_FINDINGS:
                print(f"\nFINDING {text}\n", flush=True)


class Fuzzer:
    """A run: numbers are handed out to clients until there are enough, or time is up."""

    def __init__(self, seed: int, target: Target, cast: Cast, watch: Any, loads: Any) -> None:
        self.seed, self.target, self.cast, self.watch, self.loads = seed, target, cast, watch, loads
        self.tally = Tally()
        self.versions = Versions()
        self.next = 0
        self.stop_at = 0
        self.deadline = 0.0

    def client(self) -> None:
        line = Line(self.target)
        while (number := self._number()) is not None:
            cast = self.cast
            made = shot(self.seed, number, cast)
            self.versions.bring_up_to_date(made)
            raw = made.raw()
            answer = line.send(raw, made.method, last=made.wild)
            for _ in range(RETRIES):
                if answer.seconds <= HANG_SECONDS:
                    break
                # A hang is the request's. A machine that was busy with something else is not, a second time.
                self.tally.slow += 1
                answer = line.send(raw, made.method, last=made.wild)
            self.versions.see(made, answer.headers)
            self._judge(number, made, raw, answer, cast)
        line.close()

    def _number(self) -> int | None:
        with self.tally.lock:
            if self.next >= self.stop_at or time.monotonic() > self.deadline:
                return None
            self.next += 1
            return self.next - 1

    def _judge(self, number: int, made: Shot, raw: bytes, answer: Answer, cast: Cast) -> None:
        faults = []
        if answer.status >= 500:
            faults.append(f"it is answered {answer.status}: {answer.body[:300]!r}")
        if answer.seconds > HANG_SECONDS:
            faults.append(f"it took {answer.seconds:.1f} s")
        if answer.status == 0 and not made.wild:
            faults.append("the connection was closed without an answer")
        if answer.status and not made.wild:
            faults += self._look(made, answer)
        for fault in faults:
            self.tally.find(f"seed {self.seed} number {number}: {fault}\n  {printable(raw, cast.tokens)}")
        with self.tally.lock:
            self.tally.sent += 1
            self.tally.statuses[answer.status] += 1
            self.tally.slowest = max(self.tally.slowest, answer.seconds)
            if made.body and _past_the_parser(made, answer) and parses(made.body, self.loads):
                self.tally.parsed += 1

    def _look(self, made: Shot, answer: Answer) -> list[str]:
        from tests.answers import Call, Fault

        sent = {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in made.headers}
        target = made.target.decode("latin-1")
        call = Call(made.method, target, sent, made.body, answer.status, answer.headers, answer.body)
        try:
            self.watch.look(call)
        except Fault as fault:
            return [str(fault)]
        return []

    def run(self, requests: int, seconds: float, renew: Any) -> None:
        started = time.monotonic()
        self.stop_at, self.deadline = requests, started + seconds
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(self.client) for _ in range(CLIENTS)]
            renewed = told = started
            while any(not client.done() for client in clients):
                time.sleep(0.5)  # between two looks at the clients
                now = time.monotonic()
                self.tally.memory.append((self.tally.sent, self.target.memory()))
                if now - renewed > CAST_SECONDS:
                    self.cast, renewed = renew(), now
                if now - told > 30:
                    told = now
                    print(
                        f"{self.tally.sent:>8} sent, {self.tally.memory[-1][1] / 2**20:.0f} MiB", flush=True
                    )
            for client in clients:
                client.result()


def exceptions(log: str) -> list[str]:
    """What the service logged with a traceback: its last lines. Each once."""
    found = {}
    for line in log.splitlines():
        if line.startswith("{") and '"exception":' in line:
            text = json.loads(line)["exception"]
            found[text[-200:]] = text[-1_500:]
        elif line.startswith("Traceback"):
            found[line] = log[log.index(line) :][:1_500]
    return list(found.values())


def _past_the_parser(made: Shot, answer: Answer) -> bool:
    """Whether the body was read and taken as JSON, by the answer: done, in conflict, or off its schema.

    A conflict of an object's state is found before the body is read; that of a new object, after.
    """
    if answer.status == 409:
        return all(name != b"If-Match" for name, _ in made.headers)
    if 200 <= answer.status < 300 or answer.status == 422:
        return True
    return answer.status == 400 and b"/problems/invalid-input" in answer.body and b'"pointer"' in answer.body


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzzing", description="Spoilt requests at the service.")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=7_200, help="stop after this, whatever was sent")
    parser.add_argument("--seed", type=int, default=None, help="of a run to be repeated")
    arguments = parser.parse_args()
    seed = secrets.randbelow(10**9) if arguments.seed is None else arguments.seed
    port = server.free_port()
    os.environ["PUBLIC_URL"] = f"https://localhost:{port}"
    os.environ["LOG_LEVEL"] = "ERROR"
    django.setup()
    from django.core.management import call_command

    from security.database_roles import owner
    from security.json_parser import loads
    from tests.answers import watch

    with owner():
        call_command("migrate", verbosity=0)
    with tempfile.TemporaryDirectory(prefix="portcullis-fuzz-", dir="/tmp") as scratch, watch() as watching:
        target = Target(Path(scratch), port, _environment())
        try:
            cast = renew_cast()
            target.wait()
            fuzzer = Fuzzer(seed, target, cast, watching, loads)
            print(
                f"Seed {seed}. {arguments.requests} requests, {len(cast.good)} good ones to begin with.",
                flush=True,
            )
            started = time.monotonic()
            fuzzer.run(arguments.requests, arguments.seconds, renew_cast)
            alive = target.child.is_running() and target._answers()
            crashes = exceptions(target.log.read_text(errors="replace"))
            return report(fuzzer, time.monotonic() - started, alive=alive, crashes=crashes)
        finally:
            target.stop()


def report(fuzzer: Fuzzer, seconds: float, *, alive: bool, crashes: list[str]) -> int:
    """Print the figures; 1 where something was found."""
    tally = fuzzer.tally
    warm = next((size for sent, size in tally.memory if sent >= tally.sent / 10), 0)
    last = tally.memory[-1][1] if tally.memory else 0
    growth = last - warm
    parsed = tally.parsed / max(tally.sent, 1)
    if not alive:
        tally.find("the service does not answer any more")
    for crash in crashes[:MAX_FINDINGS]:
        tally.find(f"the log has {crash}")
    if growth > MAX_GROWTH_BYTES:
        tally.find(f"the workers grew by {growth / 2**20:.0f} MiB")
    if parsed < MIN_PARSED:
        tally.find(f"{parsed:.0%} got past the JSON parser, fewer than {MIN_PARSED:.0%}")
    print(f"\n{tally.sent} requests in {seconds:.0f} s, seed {fuzzer.seed}")
    print(f"past the JSON parser  {tally.parsed} ({parsed:.0%})")
    for status, count in sorted(tally.statuses.items()):
        phrase = http.client.responses.get(status, "closed without an answer, to broken HTTP")
        print(f"  {status:>3}  {count:>7}  {phrase}")
    late = f"; {tally.slow} later answers were not late when asked for again" if tally.slow else ""
    print(f"slowest               {tally.slowest:.2f} s (bound {HANG_SECONDS:.0f} s{late})")
    first, end, more, bound = (size / 2**20 for size in (warm, last, growth, MAX_GROWTH_BYTES))
    print(f"memory                {first:.0f} MiB after a tenth, {end:.0f} MiB at the end", end="")
    print(f" ({more:+.1f} MiB, bound {bound:+.0f} MiB)")
    print(f"findings              {len(tally.findings)}")
    for finding in tally.findings[:MAX_FINDINGS]:
        print(f"FINDING {finding}")
    return 1 if tally.findings else 0


def renew_cast() -> Cast:
    """By the owner of the tables, whom row security does not keep from any tenant's."""
    from security.database_roles import owner

    with owner():
        return make_cast()


def make_cast() -> Cast:
    """New people with tokens, and a good request of every operation, about objects of their own."""
    from datetime import timedelta

    from security.policy import walk_routes
    from tests import factories
    from tests.answers import Document
    from tests.contract.walk import (
        Team,
        document,
        documented_operation,
        example,
        header_parameters,
        operations,
    )

    team, schemas = Team(), Document(document())
    good, tokens = [], {}
    names = {"HTTP_IF_MATCH": "If-Match", "HTTP_IDEMPOTENCY_KEY": "Idempotency-Key"}
    for operation in operations():
        for _ in range(2):
            call = example(operation, team)
            if call.role not in tokens:
                user = team.user(call.role)
                tokens[call.role] = factories.token(user, team.organisation, lifetime=timedelta(hours=1))
            headers = header_parameters(operation, team, call)
            content = documented_operation(operation).get("requestBody", {}).get("content", {})
            schema: dict[str, Any] = next((media["schema"] for media in content.values()), {})
            if "$ref" in schema:
                schema = schemas.components["schemas"][schema["$ref"].rpartition("/")[2]]
            path = operation.path(call.target.public_id) if call.target else operation.path()
            sent = {names[name]: text for name, text in headers.items()}
            good.append(
                Good(operation.method, path, tokens[call.role], call.body, sent, schema, operation.route)
            )
    pages = tuple(
        Page("/" + re.sub(r"<[^>]+>", "1", route), PAGE_FIELDS)
        for route, view in walk_routes()
        if not hasattr(view, "actions")
    )
    weak = factories.token(team.user("org_admin"), team.organisation, scopes="", lifetime=timedelta(hours=1))
    ids = tuple(re.findall(r"[0-9a-f-]{36}", " ".join(call.path for call in good)))
    return Cast(tuple(good), pages, (*tokens.values(), weak), ids)


def _environment() -> dict[str, str]:
    """Of the service: development's relaxations, and limits that a run does not reach."""
    from django.conf import settings

    limits = {f"THROTTLE_{name.upper()}": "1000000/60" for name in settings.THROTTLES}
    limits |= {f"THROTTLE_PAGE_{name.upper()}": "1000000/60" for name in settings.PAGE_LIMITS}
    limits |= {f"QUOTA_{name.upper()}": "1000000/86400" for name in settings.QUOTAS}
    return {**os.environ, **limits, "DJANGO_SETTINGS_MODULE": "config.settings.development"}


if __name__ == "__main__":
    sys.exit(main())
