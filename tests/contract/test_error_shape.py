"""Whatever goes wrong, on whatever route, is problem details."""

import re

import pytest
from django.db import OperationalError

from security.policy import walk_routes
from tests.clients import PROBLEM, Api, Page, asked
from tests.contract.walk import example, operations

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND")
LEAKS = re.compile(
    r"Traceback|psycopg|django|SELECT |security_|accounts_|resources_|/site-packages/", re.IGNORECASE
)

routes = sorted({operation.route for operation in operations()})
writes = [operation for operation in operations() if operation.method in {"POST", "PATCH"}]
named = {"ids": lambda operation: operation.name}


def assert_problem(response, *statuses):
    assert response.status_code in statuses, response.content
    assert response["Content-Type"] == PROBLEM
    body = response.json()
    assert body["status"] == response.status_code
    assert body["type"] == "about:blank" or body["type"].startswith("https://")
    assert body["title"]
    assert body["instance"] == f"urn:uuid:{response['X-Request-ID']}"
    assert not LEAKS.search(response.content.decode())
    return body


@pytest.mark.asvs("4.1.4")
@pytest.mark.parametrize("route", routes)
@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_is_not_there(route, method, us):
    if any(operation.route == route and operation.method == method for operation in operations()):
        return
    path = route.replace("{id}", "01a20b51-1e4c-77a9-81e6-aaeaf2d023ae")

    response = us.api("org_admin").generic(method, path)

    assert_problem(response, 405)
    assert response["Allow"]
    assert method not in response["Allow"].replace(",", " ").split()


others = [(route, view) for route, view in walk_routes() if not hasattr(view, "actions")]


@pytest.mark.asvs("4.1.4")
@pytest.mark.django_db
@pytest.mark.parametrize(("route", "view"), others, ids=[route for route, _ in others])
@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_what_is_not_api_does_not_have(route, view, method):
    """Before anybody is asked for the token of a form."""
    path = "/" + route.replace("<int:pk>", "1").replace("<slug:slug>", "gone").replace("<str:", "<")
    caller = Page()
    allowed = caller.options(path)["Allow"].replace(",", " ").split()
    if method in allowed:
        return

    response = caller.generic(method, path)

    assert_problem(response, 405)
    assert method not in response["Allow"].replace(",", " ").split()


@pytest.mark.asvs("2.2.2")
@pytest.mark.parametrize("operation", operations(), **named)
def test_an_unknown_query_parameter(operation, us):
    call = example(operation, us)
    path = operation.path(call.target.public_id if call.target else "")

    response = us.api(call.role).send(operation.method, f"{path}?unheard_of=1", call.body)

    body = assert_problem(response, 400)
    assert [(e["parameter"], e["code"]) for e in body["errors"]] == [("unheard_of", "unknown")]


@pytest.mark.asvs("2.2.2")
@pytest.mark.parametrize("operation", writes, **named)
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"a": 1, "a": 1}', 400),
        (b'{"a": NaN}', 400),
        (b'\xef\xbb\xbf{"a": 1}', 400),
        ("{}".encode("utf-16"), 400),
        (b"[" * 5000, 400),
        (b'{"a": "\\u0000"}', 400),
        (b'{"a": "\\ud800"}', 400),
        (b'{"unheard_of": 1}', 400),
        (b'{"a": "' + b"x" * 70_000 + b'"}', 413),
    ],
    ids=[
        "truncated",
        "array",
        "duplicate",
        "nan",
        "bom",
        "utf-16",
        "deep",
        "nul",
        "surrogate",
        "unknown",
        "large",
    ],
)
def test_a_bad_body(operation, body, status, us):
    call = example(operation, us)
    path = operation.path(call.target.public_id if call.target else "")

    assert_problem(us.api(call.role).send(operation.method, path, body), status)


@pytest.mark.parametrize("operation", writes, **named)
@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "text/plain"},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": "application/json; charset=utf-16"},
        {"content_type": "application/json", "HTTP_CONTENT_ENCODING": "gzip"},
        {"content_type": ""},
    ],
    ids=["text", "form", "charset", "gzip", "none"],
)
def test_a_body_of_another_type(operation, headers, us):
    call = example(operation, us)
    path = operation.path(call.target.public_id if call.target else "")

    headers = {**asked(operation.method, path), **headers}
    assert_problem(us.api(call.role).generic(operation.method, path, b"{}", **headers), 415)


@pytest.mark.parametrize("operation", operations(), **named)
def test_an_answer_that_the_caller_cannot_take(operation, us):
    call = example(operation, us)
    path = operation.path(call.target.public_id if call.target else "")

    response = us.api(call.role).send(operation.method, path, call.body, HTTP_ACCEPT="text/html")

    assert_problem(response, 406)


deletes = [operation for operation in operations() if operation.method == "DELETE"]


@pytest.mark.parametrize("operation", deletes, **named)
def test_a_deletion_has_no_body(operation, us):
    call = example(operation, us)
    path = operation.path(call.target.public_id)

    assert_problem(us.api(call.role).send("DELETE", path, {"unheard_of": 1}), 400)


guarded = [operation for operation in operations() if operation.rule.if_match]
keyed = [operation for operation in operations() if operation.rule.idempotent]


@pytest.mark.parametrize("operation", guarded, **named)
def test_a_version_that_nobody_has_seen(operation, us):
    call = example(operation, us)
    path = operation.path(call.target.public_id)

    for sent, status in {"": 428, "*": 428, "x": 400, '"1", "2"': 400, 'W/"1"': 412, '"999"': 412}.items():
        response = us.api(call.role).send(operation.method, path, call.body, HTTP_IF_MATCH=sent)
        assert_problem(response, status)


@pytest.mark.parametrize("operation", keyed, **named)
def test_a_key_stands_for_one_request(operation, us):
    call, key = example(operation, us), "a-key-of-the-test"
    path = operation.path(call.target.public_id if call.target else "")

    def send(body, key):
        return us.api(call.role).send(operation.method, path, body, HTTP_IDEMPOTENCY_KEY=key)

    assert_problem(send(call.body, ""), 400)
    first = send(call.body, key)
    assert send(call.body, key).content == first.content
    assert_problem(send({**(call.body or {}), "more": 1}, key), 422)
    us.user(call.role).memberships.update(role="contact")
    assert_problem(send(call.body, key), 403, 404)


@pytest.mark.asvs("16.5.1")
@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v2/account", "/admin/", "/v1/%00", "/v1/me%0a", "/..", "/static/x"]
)
def test_an_unknown_route(path):
    assert_problem(Api().get(path), 404)


@pytest.mark.asvs("2.4.1")
@pytest.mark.parametrize("operation", operations(), **named)
def test_a_used_up_limit(operation, us, settings):
    settings.THROTTLES = {**settings.THROTTLES, operation.rule.throttle: "1/6000"}
    call = example(operation, us)
    path = operation.path(call.target.public_id if call.target else "")
    us.api(call.role).send(operation.method, path, call.body)

    response = us.api(call.role).send(operation.method, path, call.body)

    body = assert_problem(response, 429)
    assert body["violated-policies"] == [operation.rule.throttle]
    assert int(response["Retry-After"]) > 0
    assert f'"{operation.rule.throttle}";r=0' in response["RateLimit"]


@pytest.mark.asvs("16.5.2")
@pytest.mark.parametrize("operation", operations(), **named)
def test_a_database_out_of_reach(operation, us, monkeypatch):
    def fail(*args, **kwargs):
        raise OperationalError("could not connect to server: postgresql://portcullis_service:hunter2@db")

    call = example(operation, us)
    path = operation.path(call.target.public_id if call.target else "")
    api = us.api(call.role)
    with monkeypatch.context() as outage:
        outage.setattr("accounts.oauth.authentication.connection.cursor", fail)
        response = api.send(operation.method, path, call.body)

    assert_problem(response, 503)
    assert response["Retry-After"]
    assert "hunter2" not in response.content.decode()
