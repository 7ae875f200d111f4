"""manage.py demo_token against the running service."""

import json
import shlex
import subprocess

import pytest


def test_it_prints_a_token_that_works(live):
    token = live.token("auditor@acme.example", "account:read audit:read")

    status, _, body = live.get("/v1/me", token)

    assert status == 200
    assert b'"role":"auditor"' in body
    assert live.get("/v1/audit-events", token)[0] == 200


def test_it_asks_for_the_scope_it_is_given(live):
    token = live.token("auditor@acme.example", "account:read")

    assert live.get("/v1/audit-events", token)[0] == 403


def test_a_bound_token_comes_with_its_key_and_a_call_that_works(live):
    said = live.manage("demo_token", "--user", "auditor@acme.example", "--scope", "account:read", "--dpop")
    token, key, command = (line for line in said.splitlines() if line)

    assert json.loads(key)["d"]
    assert live.get("/v1/me", token)[0] == 401
    done = subprocess.run([*shlex.split(command), "--silent"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["role"] == "auditor"


@pytest.mark.parametrize("scope", ["root:all", ""])
def test_a_refusal_is_told(live, scope):
    with pytest.raises(AssertionError, match="refused"):
        live.token("auditor@acme.example", scope)
