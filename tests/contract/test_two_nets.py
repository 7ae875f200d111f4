"""Queryset scoping and row security: each holds alone, and without both the attack succeeds."""

from contextlib import nullcontext
from dataclasses import dataclass
from uuid import UUID

import pytest
from django.db import connection

from accounts.me import OwnObjects
from security.object_permissions import ObjectRule
from security.scopes import CONTACT_ROLE
from tests import clients
from tests.clients import comparable
from tests.contract.test_foreign_objects import ids
from tests.contract.walk import UNKNOWN, example, operations

with_object = [operation for operation in operations() if "{id}" in operation.route]
named = {"ids": lambda operation: operation.name}


def without_scoping(monkeypatch):
    """Every view forgets to filter, by whatever rule: a fork's own as well."""
    for rule in rules_below(ObjectRule):
        monkeypatch.setattr(rule, "scope", lambda self, queryset, access: queryset)
        monkeypatch.setattr(rule, "page", ObjectRule.page)


def rules_below(base):
    for rule in base.__subclasses__():
        yield rule
        yield from rules_below(rule)


def without_row_security(monkeypatch):
    """Requests are served as the test itself looks: at every tenant's rows."""
    monkeypatch.setattr(clients, "row_security_in_force", nullcontext)


NETS = {"row security alone": [without_scoping], "scoping alone": [without_row_security]}


def has_two_nets(operation):
    """A person's sessions and what they allowed are no tenant's: they are read before there is one."""
    return not isinstance(operation.rule.objects, OwnObjects)


lists = [each for each in operations() if each.action == "list" and has_two_nets(each)]


def nets(operations):
    return [
        pytest.param(operation, net, id=f"{operation.name}, {net}")
        for operation in operations
        for net in NETS
        if has_two_nets(operation) or net == "scoping alone"
    ]


@pytest.mark.asvs("8.2.2", "8.4.1")
@pytest.mark.parametrize(("operation", "net"), nets(with_object))
def test_each_net_hides_a_foreign_object_alone(operation, net, us, them, monkeypatch):
    call = example(operation, us)
    for remove in NETS[net]:
        remove(monkeypatch)

    statuses = set()
    neighbour = example(operation, us).shared
    contacts = [us.api(CONTACT_ROLE), *([us.contact_of(neighbour)] if neighbour is not None else [])]
    for api in [*them.everybody(), *contacts]:
        foreign = api.send(operation.method, operation.path(call.target.public_id), call.body)
        unknown = api.send(operation.method, operation.path(UNKNOWN), call.body)
        assert comparable(foreign) == comparable(unknown)
        statuses.add(foreign.status_code)
    assert 404 in statuses
    assert statuses <= {403, 404}


@pytest.mark.parametrize(("operation", "net"), nets(lists))
def test_each_net_keeps_a_foreign_row_out_of_a_list_alone(operation, net, us, them, monkeypatch):
    call = example(operation, us)
    ours = ids(us.api(call.role), operation, call)
    for remove in NETS[net]:
        remove(monkeypatch)

    assert ours
    for name in (call.role, CONTACT_ROLE):
        assert not ours & ids(them.api(name), operation, call)
    permitted = {role for way in operation.rule.allow for role in way.roles}
    assert not ours & ids(us.api(CONTACT_ROLE), operation, call) or CONTACT_ROLE not in permitted


reads = [operation for operation in with_object if operation.method == "GET"]


@pytest.mark.parametrize("operation", reads, **named)
def test_without_both_a_foreign_object_is_read(operation, us, them, monkeypatch):
    call = example(operation, us)
    without_scoping(monkeypatch)
    without_row_security(monkeypatch)

    response = them.api(call.role).get(operation.path(call.target.public_id))

    assert response.status_code == 200


@pytest.mark.asvs("8.4.1")
@pytest.mark.parametrize("operation", with_object, **named)
def test_a_foreign_object_costs_what_an_unknown_one_costs(operation, us, them):
    """The statements, their number and their plans do not tell them apart: another tenant, or a contact."""
    call = example(operation, us)
    permitted = {role for way in operation.rule.allow for role in way.roles}
    callers = [them.api(call.role)] + [us.api(CONTACT_ROLE)] * (CONTACT_ROLE in permitted)
    for api in callers:
        api.get("/v1/me")  # connections and caches are there
        for _ in range(3):  # the server may renew its statistics between the two, and plan anew
            answers = [
                planned(api, operation.method, operation.path(public_id), call.body)
                for public_id in (call.target.public_id, UNKNOWN)
            ]
            if answers[0] == answers[1]:
                break
        assert answers[0] == answers[1]
        assert answers[0].status == 404


@pytest.mark.asvs("8.4.1")
@pytest.mark.parametrize("operation", lists, **named)
def test_no_parameter_of_a_list_brings_up_a_foreign_row(operation, us, them):
    """Each value of each parameter; a cursor of a foreign row is like one of no row."""
    call = example(operation, us)
    permitted = {role for way in operation.rule.allow for role in way.roles}
    theirs = operation.path(example(operation, them).target.public_id) if call.target else operation.route
    callers = [(them.api(call.role), theirs)]
    if CONTACT_ROLE in permitted and call.target is None:
        callers.append((us.api(CONTACT_ROLE), operation.route))
    us.api(call.role).get(f"{operation.path()}?unheard_of=1")  # leaves an event, at least
    own = {row.public_id for row in operation.view.cls.queryset.filter(organisation_id=us.organisation.pk)}
    assert own
    for api, path in callers:
        for query in queries(operation):
            items = api.get(f"{path}?limit=100&{query}").json()["items"]
            assert not {str(public_id) for public_id in own} & {item["id"] for item in items}, query
        known = max(own)
        for ordering in ("created_at", "-created_at"):
            beside = UUID(int=known.int + 1)
            for _ in range(3):  # as above
                answers = [
                    planned(api, "GET", f"{path}?ordering={ordering}&cursor={cursor}")
                    for cursor in (known, beside)
                ]
                if answers[0] == answers[1]:
                    break
            assert answers[0] == answers[1]


def queries(operation):
    """Each value of each choice, and a search for what every name begins with."""
    for name, field in operation.rule.query().fields.items():
        if hasattr(field, "choices"):
            yield from (f"{name}={value}" for value in field.choices)
        elif name == "search":
            yield from ("search=v", "search=n", "search=V", "search=N")


@dataclass
class Answer:
    status: int
    comparable: tuple
    statements: list
    plans: list


def planned(api, method, path, body=None):
    """The answer, with what the database was asked and how it would go about it."""
    statements, plans = [], []

    def explain(execute, sql, params, many, context):
        # The audit's own statement is no string; it is written after the request.
        if isinstance(sql, str) and not sql.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            cursor = context["connection"].connection.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
            statements.append(sql)  # without its parameters
            plans.append(shape(cursor.fetchone()[0][0]["Plan"]))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        response = api.send(method, path, body)
    return Answer(response.status_code, comparable(response), statements, plans)


def shape(plan):
    """The nodes of a plan and what they read, without the numbers."""
    read = plan.get("Relation Name"), plan.get("Index Name")
    return plan["Node Type"], *read, *(shape(child) for child in plan.get("Plans", []))
