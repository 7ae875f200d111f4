"""tests.asvs: the map of requirements goes red when a proof goes."""

import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests import asvs
from tests.asvs import ROOT, Collector, Requirement, faults, is_unproven

ROWS = [
    Requirement("6.1.1", 1, "first", "yes", "So."),
    Requirement("6.1.2", 2, "second", "partial", "Not quite."),
]
OF_THE_SAMPLE = [ROWS[0], Requirement("6.1.2", 2, "second", "sample", "There: `test_there`.")]
LATER = [ROWS[0], Requirement("6.1.2", 2, "second", "later", "Not yet.")]
PROOFS = {"6.1.1": ["tests/x.py::test_x"]}


@pytest.fixture(autouse=True)
def _one_small_chapter(monkeypatch):
    monkeypatch.setattr(asvs, "CHAPTERS", {6: 2})


def test_what_is_proven_has_no_fault():
    assert faults(ROWS, PROOFS, ()) == []


@pytest.mark.parametrize(
    ("rows", "proofs", "told"),
    [
        (ROWS, {}, "6.1.1 (first) applies, and no test is marked with it."),
        (
            ROWS,
            {**PROOFS, "6.9.9": ["tests/x.py::test_y"]},
            "tests/x.py::test_y: there is no requirement 6.9.9.",
        ),
        (ROWS[:1], PROOFS, "V6 has 2 requirements, and docs/asvs.csv 1 of them."),
        (ROWS[::-1], PROOFS, "docs/asvs.csv is not in order, or has a requirement twice."),
        (
            [ROWS[0], Requirement("6.1.2", 2, "second", "no", "")],
            PROOFS,
            "6.1.2 does not say how, or why not.",
        ),
        (
            [ROWS[0], Requirement("6.1.2", 2, "second", "maybe", "?")],
            PROOFS,
            "6.1.2: 'applies' is one of yes, sample, partial, later, no.",
        ),
        (
            LATER,
            {**PROOFS, "6.1.2": ["tests/x.py::test_y"]},
            "6.1.2 is said to be not built yet, and tests/x.py::test_y to prove it.",
        ),
        (
            [ROWS[0], Requirement("6.1.2", 2, "second", "sample", "Somewhere.")],
            PROOFS,
            "6.1.2 names no test of the sample domain.",
        ),
    ],
)
def test_a_fault_is_told(rows, proofs, told):
    assert faults(rows, proofs, ()) == [told]


def test_what_a_sample_row_names_has_to_be_there_while_the_sample_domain_is():
    assert faults(OF_THE_SAMPLE, PROOFS, {"test_there"}) == []
    assert faults(OF_THE_SAMPLE, PROOFS, ()) == []
    assert faults(OF_THE_SAMPLE, PROOFS, {"test_elsewhere"}) == [
        "6.1.2: the sample domain has no test_there."
    ]


def test_what_is_not_built_yet_needs_no_test_and_is_counted_apart():
    assert faults(LATER, PROOFS, ()) == []
    assert "2 requirements: 1 proven, 1 not built yet." in asvs.page(LATER, PROOFS)


def item(*names):
    """As pytest has it."""
    return SimpleNamespace(
        nodeid="tests/x.py::test_x[a[b]-c::d]",
        path=asvs.ROOT / "tests" / "x.py",
        iter_markers=lambda name: [SimpleNamespace(args=names)] if name == "asvs" else [],
    )


def test_a_test_counts_once_whatever_its_parameters():
    collector = Collector()
    collector.pytest_collection_modifyitems([item("6.1.1", "6.1.2"), item("6.1.1")])

    assert collector.proofs == {"6.1.1": ["tests/x.py::test_x"], "6.1.2": ["tests/x.py::test_x"]}


def test_a_mark_is_text():
    with pytest.raises(TypeError, match=r"tests/x\.py"):
        Collector().pytest_collection_modifyitems([item(6.1)])


@pytest.mark.parametrize(
    ("required", "names", "report", "unproven"),
    [
        (True, ["6.1.1"], {"outcome": "skipped"}, True),
        (True, ["6.1.1"], {"outcome": "passed", "wasxfail": "a reason"}, True),
        (True, ["6.1.1"], {"outcome": "passed"}, False),
        (True, ["6.1.1"], {"outcome": "failed"}, False),
        (True, [], {"outcome": "skipped"}, False),
        (False, ["6.1.1"], {"outcome": "skipped"}, False),
    ],
)
def test_in_the_gate_a_proof_that_did_not_run_is_none(monkeypatch, required, names, report, unproven):
    for name in ("REQUIRE_BROWSER", "REQUIRE_NODE"):
        monkeypatch.delenv(name, raising=False)
    if required:
        monkeypatch.setenv("REQUIRE_NODE", "1")

    assert is_unproven(item(*names), SimpleNamespace(**report)) is unproven


def test_no_proof_goes_with_the_sample_domain():
    """A fork deletes it, and what it proved would have to be proven anew."""
    assert "resources/" not in asvs.PAGE.read_text()


# --- the real thing, in a copy ---

PROOF = "tests/test_proof.py"
TEST = """import os

import pytest


@pytest.mark.asvs("6.1.1")
def test_it():
    if "SKIP" in os.environ:
        pytest.skip("as asked")
"""


@pytest.fixture(scope="module")
def machinery(tmp_path_factory):
    """A copy of it, with one requirement, one test, and the page that says so."""
    tmp_path = tmp_path_factory.mktemp("asvs")
    for name in ("tests/asvs.py", "tests/workers.py", "docs/asvs.csv", "docs/asvs.md", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    source = (tmp_path / "tests/asvs.py").read_text()
    (tmp_path / "tests/asvs.py").write_text(
        re.sub(r"^CHAPTERS = .*", "CHAPTERS = {6: 1}", source, flags=re.MULTILINE).replace(
            "--ds=config.settings.test", "-pno:django"
        )
    )
    configuration = (tmp_path / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(configuration.replace("DJANGO_SETTINGS_MODULE =", "#"))
    (tmp_path / "docs/asvs.csv").write_text("id,level,topic,applies,how\n6.1.1,1,first,yes,So.\n")
    (tmp_path / "tests/__init__.py").touch()
    hook = (ROOT / "tests/conftest.py").read_text()
    hook = hook[hook.index("@pytest.hookimpl") : hook.index("@pytest.fixture")]
    imports = "from typing import Any\n\nimport pytest\n\nfrom tests import asvs\n\n\n"
    (tmp_path / "tests/conftest.py").write_text(imports + hook)
    (tmp_path / PROOF).write_text(TEST)
    assert run(tmp_path, "tests.asvs", "write").returncode == 0
    return tmp_path


@pytest.fixture
def copy(machinery):
    texts = {path: path.read_text() for path in machinery.glob("*/asvs.*")} | {machinery / PROOF: TEST}
    yield machinery
    for path, text in texts.items():
        path.write_text(text)


def run(copy, *module, **environment):
    return subprocess.run(
        [sys.executable, "-m", *module],
        cwd=copy,
        env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def edit(path, former, new):
    assert former in path.read_text()
    path.write_text(path.read_text().replace(former, new))


def test_the_check_is_green_as_it_is_and_red_without_the_test(copy):
    green = run(copy, "tests.asvs", "check")
    assert (green.returncode, green.stdout) == (0, "")
    assert f"`{PROOF.removeprefix('tests/')}::test_it`" in (copy / "docs/asvs.md").read_text()

    edit(copy / PROOF, "def test_it", "def unfinished")
    red = run(copy, "tests.asvs", "check")
    assert red.returncode == 1
    assert "6.1.1 (first) applies, and no test is marked with it." in red.stdout


@pytest.mark.parametrize(
    ("path", "former", "new", "told"),
    [
        (PROOF, '@pytest.mark.asvs("6.1.1")\n', "", "no test is marked with it"),
        (PROOF, '"6.1.1"', '"6.1.1", "6.1.9"', "there is no requirement 6.1.9"),
        (PROOF, "def test_it", "def test_another", "run make asvs"),
        ("docs/asvs.csv", "So.", "Otherwise.", "run make asvs"),
        (PROOF, "import pytest", "import pytest_of_another_name", "cannot be collected"),
    ],
)
def test_the_check_is_red(copy, path, former, new, told):
    edit(copy / path, former, new)

    red = run(copy, "tests.asvs", "check")

    assert red.returncode == 1
    assert told in red.stdout + red.stderr


def test_a_run_in_the_gate_is_red_where_the_proof_was_skipped(copy):
    command = ["pytest", "-p", "no:django", "-p", "no:cacheprovider", "tests"]
    assert run(copy, *command, SKIP="1").returncode == 0
    assert run(copy, *command, REQUIRE_NODE="1").returncode == 0

    red = run(copy, *command, SKIP="1", REQUIRE_NODE="1")

    assert red.returncode == 1
    assert "proves a requirement, and did not run" in red.stdout
