"""The map from the requirements of OWASP ASVS 5.0 to the tests that prove them.

``docs/asvs.csv`` has every requirement of the chapters in ``CHAPTERS``. A test that proves one says so::

    @pytest.mark.asvs("6.2.1", "6.2.9")

``python -m tests.asvs write`` collects the tests and makes ``docs/asvs.md`` of the two. ``check`` collects
them anew and ends with 1 on what does not hold: a requirement that applies and has no test, a mark that names
none, a page that says something else.
"""

import contextlib
import csv
import io
import os
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROWS = ROOT / "docs" / "asvs.csv"
PAGE = ROOT / "docs" / "asvs.md"
#: Chapters that are held, with the number of requirements that the standard has in each.
CHAPTERS = {1: 30, 2: 13, 4: 16, 6: 47, 7: 19, 8: 13, 9: 7, 10: 36, 11: 24, 14: 13, 16: 17}
TITLES = {
    1: "Encoding and sanitization",
    2: "Validation and business logic",
    4: "API and web service",
    6: "Authentication",
    7: "Session management",
    8: "Authorization",
    9: "Self-contained tokens",
    10: "OAuth and OIDC",
    11: "Cryptography",
    14: "Data protection",
    16: "Security logging and error handling",
}
APPLIES = {
    "yes": "proven",
    "sample": "proven in the sample domain",
    "partial": "in part",
    "later": "not built yet",
    "no": "not applicable",
}
#: The sample domain's tests. They go with it, so none carries a mark: a ``sample`` row names them.
SAMPLE = ROOT / "tests" / "resources"
INTRODUCTION = """\
# OWASP ASVS 5.0

Made by `make asvs` of [asvs.csv](asvs.csv) and of the tests that are marked with a requirement; `make check`
makes it anew and compares. A requirement that applies has a test that fails where it is not met. In the gate
a marked test that is skipped is a failure. What only the sample domain has an object for names tests of it,
which a fork deletes with it, and has to replace. What holds in part, is not built yet, or does not apply, has
its reason: none of these is claimed.
"""


@dataclass(frozen=True, slots=True)
class Requirement:
    """``how`` it is met; where ``applies`` is not yes, what is missing or why it has no object here.

    Where ``applies`` is sample, ``how`` names the tests in backticks: `test_it`.
    """

    id: str
    level: int
    topic: str
    applies: str
    how: str

    @property
    def number(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.id.split("."))

    @property
    def chapter(self) -> int:
        return self.number[0]

    @property
    def named(self) -> list[str]:
        return re.findall(r"`(test_\w+)`", self.how)


class Collector:
    """A pytest plugin: requirement → the tests that carry its mark. The names of the sample domain's."""

    def __init__(self) -> None:
        self.proofs: dict[str, list[str]] = {}
        self.sample: set[str] = set()

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        for item in items:
            test = re.sub(r"\[.*", "", item.nodeid, flags=re.DOTALL)
            if SAMPLE in item.path.parents:
                self.sample.add(test.rpartition("::")[2])
            for name in requirements_of(item):
                self.proofs.setdefault(name, [])
                if test not in self.proofs[name]:
                    self.proofs[name].append(test)


def requirements_of(item: Any) -> list[str]:
    """The ids of an item's marks. Raises TypeError for a mark that is not made of text."""
    names = [name for mark in item.iter_markers("asvs") for name in mark.args]
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"{item.nodeid}: asvs takes ids such as '6.2.1'")
    return names


def collect() -> tuple[dict[str, list[str]], set[str]]:
    """The proofs, and the names of the sample domain's tests. Raises SystemExit where it fails."""
    collector, said = Collector(), io.StringIO()
    options = ["--collect-only", "-qq", "-pno:cacheprovider", "--ds=config.settings.test"]
    with contextlib.redirect_stdout(said):
        status = pytest.main([*options, str(ROOT / "tests")], plugins=[collector])
    if status not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        raise SystemExit(f"{said.getvalue()}\nThe tests cannot be collected.")
    return {name: sorted(tests) for name, tests in collector.proofs.items()}, collector.sample


def read() -> list[Requirement]:
    with ROWS.open(newline="") as file:
        return [Requirement(**{**row, "level": int(row["level"])}) for row in csv.DictReader(file)]


def faults(
    requirements: list[Requirement], proofs: Mapping[str, list[str]], sample: Collection[str]
) -> list[str]:
    """What does not hold, in words. ``sample`` is empty where the sample domain has been deleted."""
    found = [
        f"{each.id} ({each.topic}) applies, and no test is marked with it."
        for each in requirements
        if each.applies == "yes" and not proofs.get(each.id)
    ]
    found += [
        f"{each.id}: 'applies' is one of {', '.join(APPLIES)}."
        for each in requirements
        if each.applies not in APPLIES
    ]
    found += [
        f"{each.id} is said to be not built yet, and {', '.join(proofs[each.id])} to prove it."
        for each in requirements
        if each.applies == "later" and proofs.get(each.id)
    ]
    for each in requirements:
        if each.applies == "sample" and not each.named:
            found.append(f"{each.id} names no test of the sample domain.")
        if each.applies == "sample" and sample:
            found += [
                f"{each.id}: the sample domain has no {test}." for test in each.named if test not in sample
            ]
    found += [f"{each.id} does not say how, or why not." for each in requirements if not each.how]
    known = {each.id for each in requirements}
    found += [
        f"{', '.join(tests)}: there is no requirement {name}."
        for name, tests in sorted(proofs.items())
        if name not in known
    ]
    for chapter, number in CHAPTERS.items():
        held = sum(1 for each in requirements if each.chapter == chapter)
        if held != number:
            found.append(f"V{chapter} has {number} requirements, and docs/asvs.csv {held} of them.")
    if [each.number for each in requirements] != sorted({each.number for each in requirements}):
        found.append("docs/asvs.csv is not in order, or has a requirement twice.")
    return found


def page(requirements: list[Requirement], proofs: Mapping[str, list[str]]) -> str:
    parts = [INTRODUCTION]
    for chapter in CHAPTERS:
        rows = [each for each in requirements if each.chapter == chapter]
        counts = ", ".join(
            f"{number} {words}"
            for applies, words in APPLIES.items()
            if (number := sum(1 for each in rows if each.applies == applies))
        )
        parts.append(f"## V{chapter} {TITLES[chapter]}\n\n{len(rows)} requirements: {counts}.\n")
        lines = ["| Id | Level | Topic | | How, or why not | Tests |", "|---|---|---|---|---|---|"]
        for each in rows:
            tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in proofs.get(each.id, []))
            cells = (each.id, str(each.level), each.topic, APPLIES[each.applies], each.how, tests)
            lines.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def is_unproven(item: Any, report: Any) -> bool:
    """Whether a marked test did not say anything in a run that has to (with REQUIRE_BROWSER or the like).

    Skipped, or expected to fail: either way the requirement has no proof.
    """
    strict = any(name.startswith("REQUIRE_") for name in os.environ)
    silent = report.outcome == "skipped" or hasattr(report, "wasxfail")
    return strict and silent and bool(requirements_of(item))


def main(command: str) -> int:
    requirements, (proofs, sample) = read(), collect()
    found = faults(requirements, proofs, sample)
    if command == "write":
        PAGE.write_text(page(requirements, proofs))
    elif not found and PAGE.read_text() != page(requirements, proofs):
        found.append("docs/asvs.md is not what the tests say: run make asvs, and read the difference.")
    sys.stdout.write("".join(f"{fault}\n" for fault in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
