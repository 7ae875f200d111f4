"""A fork deletes the sample domain: directory, tests and lines. What is left passes every check, and starts.

Its tests run by `make test-fork`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.postgres import ROOT
from tests.fork import without_resources
from tests.live.service import Service


@pytest.fixture
def fork(tmp_path):
    if not (ROOT / "resources").exists():
        pytest.skip("the sample domain has been deleted already")  # this file may stay in a fork
    without_resources(tmp_path / "fork")
    return tmp_path / "fork"


def run(fork, *command, **environment):
    done = subprocess.run(
        command,
        cwd=fork,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def test_it_passes_every_check_and_starts(fork, own_database, tmp_path):
    python = sys.executable
    production = {"DJANGO_SETTINGS_MODULE": "config.settings"}
    run(fork, python, "manage.py", "spectacular", "--file", "openapi.yaml", **production)
    run(fork, python, "-m", "contract.compatibility", "--release")  # a contract of its own begins

    checks = run(fork, "make", "checks", f"VENV={Path(sys.prefix)}", **production)
    assert "All checks passed." in checks
    assert "/v1/invoices" not in (fork / "openapi.yaml").read_text()

    service = Service(tmp_path, own_database, root=fork)
    try:
        service.prepare()
        service.start()
        token = service.token("auditor@acme.example", "account:read audit:read")
        assert service.get("/v1/me", token)[0] == 200
        assert service.get("/v1/audit-events", token)[0] == 200
    finally:
        service.stop()
