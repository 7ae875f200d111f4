"""docs/cryptography.md names every use of cryptography in the source, with what would replace it."""

import ast
import multiprocessing
import re

import pytest
from oauthlib.common import generate_token

from security.encryption import encrypt
from tests.asvs import ROOT
from tests.test_source import PATHS

CRYPTOGRAPHY = {"hashlib", "hmac", "secrets", "cryptography", "jwcrypto", "django.core.signing"}
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "cryptography.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| Use ")
]


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def uses(tree):
    return any(f"{name}.".startswith(f"{root}.") for name in imported(tree) for root in CRYPTOGRAPHY)


def module(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.asvs("11.1.2", "11.1.3")
def test_the_inventory_has_every_module_that_uses_cryptography_and_no_other():
    told = {name for row in ROWS for name in re.findall(r"`([a-z_]+(?:\.[a-z_0-9]+)+)`", row[2])}
    if not (ROOT / "resources").exists():
        told = {name for name in told if not name.startswith("resources.")}

    assert told == {module(path) for path in PATHS if uses(ast.parse(path.read_text()))}


@pytest.mark.parametrize(
    "source",
    ["import hashlib", "from hmac import digest", "from django.core import signing", "import jwcrypto.jwk"],
)
def test_a_planted_use_is_found(source):
    assert uses(ast.parse(source))


@pytest.mark.asvs("11.1.4")
def test_each_use_has_an_algorithm_and_a_successor():
    assert len(ROWS) > 8
    for row in ROWS:
        assert len(row) == 4
        assert all(row), row


def made(number):
    place = {"table": "t", "column": "c", "row": "1"}
    return [(generate_token(), encrypt("text", **place)) for _ in range(number)]


@pytest.mark.asvs("11.5.2")
def test_processes_that_come_from_one_share_no_random_number():
    """The application server forks its workers: a generator in the process would go on alike in each."""
    with multiprocessing.get_context("fork").Pool(4) as pool:
        found = [pair for part in pool.map(made, [1000] * 4, chunksize=1) for pair in part]

    assert len({token for token, _ in found}) == len({ciphertext for _, ciphertext in found}) == 4000
