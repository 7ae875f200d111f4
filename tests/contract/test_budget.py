"""What each operation may cost: statements and Valkey commands, fixed in tests/<app>/budget.toml."""

import tomllib
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext
from redis.connection import AbstractConnection

from tests.contract.walk import example, operations, perform

MAX_READ = {"sql": 2, "valkey": 1}
NOT_COUNTED = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK")


def budgets():
    found = {}
    for file in sorted(Path(__file__).parent.parent.glob("*/budget.toml")):
        found.update(tomllib.loads(file.read_text()))
    return found


@pytest.fixture
def valkey_commands(monkeypatch):
    sent = []
    send = AbstractConnection.send_command

    def count(self, *args, **kwargs):
        sent.append(args[0])
        return send(self, *args, **kwargs)

    monkeypatch.setattr(AbstractConnection, "send_command", count)
    return sent


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.name)
def test_it_costs_exactly_its_budget(operation, us, valkey_commands):
    call = example(operation, us)
    us.api(call.role).get("/v1/me")  # connections and the script are there
    ContentType.objects.get_for_models(*apps.get_models())  # and what a process asks once
    valkey_commands.clear()

    with CaptureQueriesContext(connection) as queries:
        response = perform(operation, us, call)

    assert response.status_code == operation.rule.status
    statements = [q["sql"] for q in queries if not q["sql"].startswith(NOT_COUNTED)]
    assert {"sql": len(statements), "valkey": len(valkey_commands)} == budgets()[operation.name], "\n".join(
        statements
    )


def test_every_operation_has_a_budget_and_no_other():
    assert budgets().keys() == {operation.name for operation in operations()}


def test_a_read_is_at_most_two_statements_and_one_command():
    for name, cost in budgets().items():
        if name.startswith("GET "):
            assert cost["sql"] <= MAX_READ["sql"], name
            assert cost["valkey"] <= MAX_READ["valkey"], name
