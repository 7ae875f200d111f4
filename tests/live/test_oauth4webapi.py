"""The served authorization server and the strictest client there is: oauth4webapi, in Node."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.live.person import Person

HERE = Path(__file__).parent / "oauth4webapi"
REQUIRED = os.environ.get("REQUIRE_NODE") == "1"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The script with what it needs beside it, outside the tree."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        if REQUIRED:
            pytest.fail("REQUIRE_NODE is set, and there is no node or no npm.")
        pytest.skip("There is no Node here.")
    target = tmp_path_factory.mktemp("oauth4webapi")
    for file in HERE.iterdir():
        shutil.copy(file, target)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=target, capture_output=True, text=True, check=False)
    if done.returncode:
        if REQUIRED:
            pytest.fail(done.stderr)
        pytest.skip("npm cannot install the package here.")
    return target


def test_every_flow(live, package):
    person = Person(live, "org-admin@globex.example")
    environment = {
        **os.environ,
        "DEMO": live.demo_file.read_text(),
        "NODE_EXTRA_CA_CERTS": live.demo["ca_file"],
    }
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    # What 20 has always on.
    flags = ["--experimental-global-webcrypto"] if version.startswith("v18.") else []
    command = ["node", *flags, "flows.mjs"]
    with subprocess.Popen(
        command, cwd=package, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        said = {}
        for line in process.stdout:
            said = json.loads(line)
            if "authorize" in said:
                process.stdin.write(json.dumps(person.consent(said["authorize"])) + "\n")
                process.stdin.flush()

    assert process.returncode == 0
    assert len(said["done"]) == 6
    assert person.sign_ins == 2  # once at the beginning, and once more because max_age said so


def test_no_registry_is_named():
    for file in HERE.iterdir():
        text = file.read_text()
        assert '"resolved"' not in text
        assert "registry" not in text
