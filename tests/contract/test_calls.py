"""contract.calls: what its run asks for. The run itself takes minutes and is the gate's."""

import argparse
import json
import tomllib

import pytest

from contract.calls.__main__ import HERE, ROLES, allowed_by_matrix, count
from security.scopes import all_roles

EVERY = argparse.Namespace(reached=20, include="")


def report(tmp_path, counts, needed):
    file = tmp_path / "report.json"
    file.write_text(json.dumps({"counts": counts, "needed": needed}))
    return file


@pytest.fixture
def nothing_allowed(monkeypatch):
    monkeypatch.setattr("contract.calls.__main__.allowed_by_matrix", lambda role: set())


@pytest.mark.parametrize(("good", "missed"), [(20, 0), (19, 1), (0, 1)])
def test_a_permitted_operation_has_to_be_reached(tmp_path, nothing_allowed, capsys, good, missed):
    file = report(tmp_path, {"GET /v1/me": {"200": good, "400": 99}}, ["GET /v1/me"])

    assert len(count("clerk", file, EVERY)) == missed
    assert "GET /v1/me" in capsys.readouterr().out


def test_a_permitted_operation_has_to_be_called_at_all(tmp_path, nothing_allowed):
    file = report(tmp_path, {}, ["GET /v1/me"])

    assert count("clerk", file, EVERY) == ["clerk: GET /v1/me was never called"]


def test_what_is_not_permitted_need_not_be_reached(tmp_path, nothing_allowed):
    assert count("clerk", report(tmp_path, {"GET /v1/members": {"403": 5}}, []), EVERY) == []


def test_what_the_matrix_allows_is_needed():
    allowed = allowed_by_matrix("org_admin")

    assert {"GET /v1/me", "GET /v1/members", "POST /v1/invitations"} <= allowed
    assert allowed_by_matrix("nobody") == set()


def test_a_run_that_died_is_noticed(tmp_path):
    assert count("clerk", tmp_path / "nothing.json", EVERY) == ["clerk: there is no report"]


def test_every_check_is_on_and_a_server_error_is_always_one():
    config = tomllib.loads((HERE / "schemathesis.toml").read_text())

    assert all(check.get("enabled", True) for check in config["checks"].values())
    for check in config["checks"].values():
        assert not {status for status in map(str, check["expected-statuses"]) if status.startswith("5")}
    assert not {"5xx", "2xx"} & set(
        map(str, config["checks"]["negative_data_rejection"]["expected-statuses"])
    )


def test_the_roles_exist():
    assert set(ROLES) & all_roles().keys()
