"""A fork deletes the sample domain: directory, tests and lines. What is left passes everything."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from django.conf import settings

from deploy.local.postgres import ROOT
from tests.live.service import Service, with_database

KEPT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".run", "__pycache__", ".*_cache", ".hypothesis", "staticfiles"
)
PARTS = ("resources", "tests/resources", "lab/resources")
LINES = {
    "config/settings/__init__.py": r'^    "resources",\n',
    "config/urls.py": r'^    path\("v1/", include\("resources\.urls"\)\),\n',
}


@pytest.fixture
def fork(tmp_path):
    if not (ROOT / "resources").exists():
        pytest.skip("the sample domain has been deleted already")  # this file may stay in a fork
    fork = tmp_path / "fork"
    shutil.copytree(ROOT, fork, ignore=KEPT_OUT)
    for part in PARTS:
        shutil.rmtree(fork / part)
    for name, line in LINES.items():
        text, deleted = re.subn(line, "", (fork / name).read_text(), flags=re.MULTILINE)
        assert deleted == 1, name
        (fork / name).write_text(text)
    return fork


def run(fork, *command, **environment):
    done = subprocess.run(
        command, cwd=fork, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def test_it_passes_every_check_and_test_and_starts(fork, live_database, tmp_path):
    python = sys.executable
    production = {"DJANGO_SETTINGS_MODULE": "config.settings"}
    run(fork, python, "manage.py", "spectacular", "--file", "openapi.yaml", **production)

    checks = run(fork, "make", "checks", f"VENV={Path(sys.prefix)}", **production)
    assert "All checks passed." in checks
    databases = {name: with_database(url, "fork") for name, url in live_database.items()}
    with redis.Redis.from_url(settings.VALKEY_URL) as valkey:
        valkey.flushall()  # the same tests have used up the limits of their addresses
    tests = run(
        fork,
        python,
        "-m",
        "pytest",
        "-q",
        "tests",
        "--ignore=tests/live",
        "--ignore=tests/config",
        **databases,
    )
    assert " passed" in tests.splitlines()[-1]
    assert "failed" not in tests.splitlines()[-1]

    service = Service(tmp_path, live_database, root=fork)
    try:
        service.prepare()
        service.start()
        token = service.token("auditor@acme.example", "account:read audit:read")
        assert service.get("/v1/me", token)[0] == 200
        assert service.get("/v1/audit-events", token)[0] == 200
        assert service.get("/v1/invoices", token)[0] == 404
    finally:
        service.stop()
