"""The authorization matrix: what each caller gets for the good request of each operation.

Committed in tests/<app>/matrix.toml and reviewed by its difference; `make matrix` writes it anew, by really
calling. Some things hold whatever the file says.
"""

import os
import tomllib
from pathlib import Path

import pytest

from accounts.me import OwnObjects
from security.scopes import CONTACT_ROLE, SERVICE_ROLE, all_roles, all_scopes
from tests import factories
from tests.clients import Api
from tests.contract.walk import example, operations

TESTS = Path(__file__).parent.parent
HEADER = """\
# Who gets what: the status of one good request, by caller. Written by `make matrix`; review the difference.
# A role is that of the object's own organisation; contact is one with whom nothing is shared, shared_contact
# one with whom the object is; owner is who made the object, or whose it is, given the example's role;
# wrong_scope is the caller of the example with a token for another scope; other_tenant has the example's role
# in another organisation.
"""
named = {"ids": lambda operation: operation.name}


def app_of(operation):
    return operation.view.cls.__module__.split(".")[0]


def committed():
    found = {}
    for file in TESTS.glob("*/matrix.toml"):
        found.update(tomllib.loads(file.read_text()))
    return found


def callers(operation, us, them, sample):
    """name → function of a call that gives an Api."""
    role = sample.role
    other = next(scope for scope in all_scopes() if scope not in operation.rule.scopes)
    yield "anonymous", lambda call: Api()
    yield "bad_token", lambda call: Api("nonsense")
    yield "wrong_scope", lambda call: Api(factories.token(us.user(role), us.organisation, scopes=other))
    yield "other_tenant", lambda call: them.api(role)
    for name in all_roles():
        yield name, lambda call, name=name: us.api(name)
    if sample.shared is not None:
        yield "shared_contact", lambda call: us.contact_of(call.shared)
    if sample.owner is not None:
        yield "owner", lambda call: as_owner(call, us)
    client = factories.service_client(us.organisation, us.user("org_admin"), secret="s" * 64)
    yield SERVICE_ROLE, lambda call: Api(factories.token(None, us.organisation, client=client))


def as_owner(call, us):
    """The owner, whose role has become the one that the operation wants."""
    call.owner.memberships.update(role=call.role)
    return Api(factories.token(call.owner, us.organisation))


def row(operation, us, them):
    """caller → status. Each caller gets an object of its own: a call may change it."""
    found = {}
    for name, caller in callers(operation, us, them, example(operation, us)):
        call = example(operation, us)
        public_id = call.target.public_id if call.target else ""
        api = caller(call)
        found[name] = api.send(operation.method, operation.path(public_id), call.body).status_code
    return found


@pytest.mark.asvs("8.1.1", "8.2.1")
@pytest.mark.parametrize("operation", operations(), **named)
def test_every_operation_answers_as_the_matrix_says(operation, us, them):
    measured = row(operation, us, them)
    if "UPDATE_MATRIX" in os.environ:
        write(operation, measured)
    assert operation.name in committed(), "a new operation: run make matrix, and review what it wrote"

    expected = committed()[operation.name]
    # A fork that deleted the sample domain has fewer roles than the file names.
    assert measured == {name: status for name, status in expected.items() if name in measured}


@pytest.mark.asvs("10.3.2")
@pytest.mark.parametrize("operation", operations(), **named)
def test_whatever_the_matrix_says(operation, us, them):
    measured = row(operation, us, them)
    permitted = {role for way in operation.rule.allow for role in way.roles}

    assert measured["anonymous"] == measured["bad_token"] == 401
    assert measured["wrong_scope"] == 403
    if "{id}" in operation.route:
        assert measured["other_tenant"] == 404
    role = example(operation, us).role
    for name in {*all_roles(), SERVICE_ROLE}:
        if "{id}" in operation.route and isinstance(operation.rule.objects, OwnObjects) and name != role:
            assert measured[name] == (404 if name in permitted else 403)
        elif name == CONTACT_ROLE and "{id}" in operation.route:
            assert measured[name] == 404 or name not in permitted
            assert measured[name] in {403, 404}
        elif name not in permitted:
            assert measured[name] == 403
        else:
            assert measured[name] in {operation.rule.status, 409}
    if "shared_contact" in measured:
        assert measured["shared_contact"] == (operation.rule.status if CONTACT_ROLE in permitted else 403)
    assert operation.rule.status in measured.values()


@pytest.mark.asvs("8.1.1")
def test_the_matrix_has_no_operation_that_is_gone():
    assert committed().keys() <= {operation.name for operation in operations()}


def write(operation, measured):
    file = TESTS / app_of(operation) / "matrix.toml"
    rows = tomllib.loads(file.read_text()) if file.exists() else {}
    rows[operation.name] = measured
    tables = []
    for name in sorted(rows, key=lambda name: (name.split()[1], name)):
        lines = "\n".join(f"{caller} = {status}" for caller, status in rows[name].items())
        tables.append(f'["{name}"]\n{lines}\n')
    file.write_text(HEADER + "\n" + "\n".join(tables))
