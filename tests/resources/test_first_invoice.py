"""The walk of lab/resources/first_invoice.sh, as a user runs it, against the served demo."""

import os
import subprocess

import pytest

from deploy.local.postgres import ROOT

SCRIPT = ROOT / "lab" / "resources" / "first_invoice.sh"


@pytest.mark.parametrize("organisation", ["Acme", "Globex"])
def test_from_sign_in_to_a_released_invoice(live, organisation):
    done = subprocess.run(
        [SCRIPT, organisation],
        env={**os.environ, "DEMO_FILE": str(live.demo_file)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith(f"of {organisation} is released, and the trail shows it.")


def test_it_fails_loudly(live):
    done = subprocess.run(
        [SCRIPT, "Nobody"],
        env={**os.environ, "DEMO_FILE": str(live.demo_file)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "There is no clerk@nobody.example" in done.stderr
