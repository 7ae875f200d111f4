"""Another organisation's object is one that does not exist: same answer, for every operation and role."""

import pytest

from security.scopes import CONTACT_ROLE
from tests.clients import comparable
from tests.contract.walk import UNKNOWN, example, operations

with_object = [operation for operation in operations() if "{id}" in operation.route]
SPELLINGS = [
    str.upper,
    lambda text: text.replace("-", ""),
    lambda text: f"{{{text}}}",
    lambda text: f"{text}%00",
]


@pytest.mark.asvs("8.2.2", "8.4.1")
@pytest.mark.parametrize("operation", with_object, ids=lambda operation: operation.name)
def test_foreign_equals_unknown(operation, us, them):
    call = example(operation, us)
    before = vars(type(call.target).objects.get(pk=call.target.pk))
    statuses = set()

    for api in them.everybody():
        foreign = api.send(operation.method, operation.path(call.target.public_id), call.body)
        unknown = api.send(operation.method, operation.path(UNKNOWN), call.body)
        assert comparable(foreign) == comparable(unknown)
        statuses.add(foreign.status_code)

    # 403 for those who may read no such object at all, whatever the id.
    assert 404 in statuses
    assert statuses <= {403, 404}
    after = vars(type(call.target).objects.get(pk=call.target.pk))
    assert {k: v for k, v in after.items() if k != "_state"} == {
        k: v for k, v in before.items() if k != "_state"
    }


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("operation", with_object, ids=lambda operation: operation.name)
def test_an_own_object_has_one_name(operation, spelling, us):
    call = example(operation, us)

    response = us.api(call.role).send(
        operation.method, operation.path(spelling(str(call.target.public_id))), call.body
    )

    assert response.status_code == 404


lists = [operation for operation in operations() if operation.action == "list"]


@pytest.mark.asvs("8.2.2", "8.4.1")
@pytest.mark.parametrize("operation", lists, ids=lambda operation: operation.name)
def test_a_list_holds_no_foreign_row(operation, us, them):
    call = example(operation, us)

    ours = ids(us.api(call.role), operation, call)

    assert ours
    for name in (call.role, CONTACT_ROLE):
        assert not ours & ids(them.api(name), operation, call)


def ids(api, operation, call):
    """What a list holds; nothing where the role may not, or the parent is not seen."""
    response = api.get(operation.path(call.target.public_id) if call.target else operation.route)
    assert response.status_code in {200, 403, 404}
    return {item["id"] for item in response.json().get("items", [])}
