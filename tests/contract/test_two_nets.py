"""Queryset scoping and row security: each holds alone, and without both the attack succeeds."""

import re
from contextlib import nullcontext

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from security.policy import TenantObjects
from tests import clients
from tests.clients import comparable
from tests.contract.walk import UNKNOWN, example, operations

with_object = [operation for operation in operations() if "{id}" in operation.route]
lists = [operation for operation in operations() if operation.action == "list"]
MOMENT = re.compile(r"'\d{4}-\d\d-\d\d[^']*'")
named = {"ids": lambda operation: operation.name}


def without_scoping(monkeypatch):
    """Every view forgets to filter."""
    monkeypatch.setattr(TenantObjects, "scope", lambda self, queryset, access: queryset)


def without_row_security(monkeypatch):
    """Requests are served as the test itself looks: at every tenant's rows."""
    monkeypatch.setattr(clients, "row_security_in_force", nullcontext)


NETS = {"row security alone": [without_scoping], "scoping alone": [without_row_security]}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("operation", with_object, **named)
def test_each_net_hides_a_foreign_object_alone(operation, net, us, them, monkeypatch):
    call = example(operation, us)
    for remove in NETS[net]:
        remove(monkeypatch)

    statuses = set()
    for api in them.everybody():
        foreign = api.send(operation.method, operation.path(call.target.public_id), call.body)
        unknown = api.send(operation.method, operation.path(UNKNOWN), call.body)
        assert comparable(foreign) == comparable(unknown)
        statuses.add(foreign.status_code)
    assert 404 in statuses
    assert statuses <= {403, 404}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("operation", lists, **named)
def test_each_net_keeps_a_foreign_row_out_of_a_list_alone(operation, net, us, them, monkeypatch):
    call = example(operation, us)
    for remove in NETS[net]:
        remove(monkeypatch)

    assert them.api(call.role).get(operation.route).json()["items"] == []


reads = [operation for operation in with_object if operation.method == "GET"]


@pytest.mark.parametrize("operation", reads, **named)
def test_without_both_a_foreign_object_is_read(operation, us, them, monkeypatch):
    call = example(operation, us)
    without_scoping(monkeypatch)
    without_row_security(monkeypatch)

    response = them.api(call.role).get(operation.path(call.target.public_id))

    assert response.status_code == 200


@pytest.mark.parametrize("operation", with_object, **named)
def test_a_foreign_object_costs_what_an_unknown_one_costs(operation, us, them):
    """The number of statements, and their text, do not tell them apart."""
    call = example(operation, us)
    api = them.api(call.role)
    api.send("GET", "/v1/me")

    assert statements(api, operation, call, call.target.public_id) == statements(
        api, operation, call, UNKNOWN
    )


def statements(api, operation, call, public_id):
    with CaptureQueriesContext(connection) as queries:
        api.send(operation.method, operation.path(public_id), call.body)
    own = [q["sql"] for q in queries if "SAVEPOINT" not in q["sql"] and "security_auditevent" not in q["sql"]]
    # The authentication statement holds the moment; the others hold the id.
    return [MOMENT.sub("", statement.replace(str(public_id).replace("-", ""), "")) for statement in own]
