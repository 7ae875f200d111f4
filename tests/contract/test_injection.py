"""What interpreters would take for their own, in every place of every operation: it is text, or refused."""

from urllib.parse import quote

import pytest

from tests.clients import PROBLEM
from tests.contract.walk import UNKNOWN, example, operations

named = {"ids": lambda operation: operation.name}
with_object = [operation for operation in operations() if "{id}" in operation.route]
lists = [operation for operation in operations() if operation.action == "list"]

HOSTILE = (
    "' OR '1'='1",
    "1; DROP TABLE accounts_user; --",
    "x') UNION SELECT password FROM accounts_user --",
    "%' AND pg_sleep(5) --",
    "-created_at; SELECT 1",
    "organisation__name",
    "[A-Z0-9]",
    "{{7*7}}",
    "${7*7}",
    "$(id)",
    "../../../etc/passwd",
)


@pytest.mark.asvs("1.2.4", "1.2.9")
@pytest.mark.parametrize("operation", lists, **named)
def test_no_parameter_of_a_list_is_part_of_a_statement(operation, us):
    call = example(operation, us)
    path = operation.path(call.target.public_id if call.target else "")
    api = us.api(call.role)
    assert api.get(path).json()["items"]

    for name in operation.rule.query().fields:
        for value in HOSTILE:
            response = api.get(f"{path}?{name}={quote(value)}")
            # A search takes any text, and finds no row that has it not.
            assert response.status_code == 400 or response.json()["items"] == [], (name, value)


def encoded(operation, character):
    """An own object's id, of which one character is written otherwise."""
    return lambda public_id: operation.path(public_id.replace("-", character, 1))


@pytest.mark.asvs("1.1.1")
@pytest.mark.parametrize("operation", with_object, **named)
def test_a_path_is_decoded_once(operation, us):
    """Once, and it names the object; twice, and it names none. Nor does a path climb."""
    call = example(operation, us)
    public_id = str(call.target.public_id)
    api = us.api(call.role)

    for path in (
        encoded(operation, "%252d")(public_id),
        operation.path(f"%252e%252e/{public_id}"),
        operation.path(f"..%252f{public_id}"),
        operation.path(f"{public_id}%252500"),
    ):
        response = api.send(operation.method, path, call.body)
        assert response.status_code == 404, path
        assert response["Content-Type"] == PROBLEM


@pytest.mark.asvs("14.2.5")
@pytest.mark.parametrize("operation", operations(), **named)
def test_nothing_is_served_under_the_name_of_a_file(operation, us):
    """A cache in between that keeps what looks like a file would keep it for whoever asks next."""
    call = example(operation, us)
    path = operation.path(call.target.public_id if call.target else UNKNOWN)

    for end in ("/x.css", ".css", ";x.css", "%2Fx.js", "%00.png", "/..%2f..%2fstatic/accounts/page.css"):
        response = us.api(call.role).get(f"{path}{end}")
        assert response.status_code in {404, 405}, end
        assert response["Content-Type"] == PROBLEM
        assert response["Cache-Control"] == "no-store"
