"""security.errors."""

import json
import logging
import re

import pytest
from django.urls import path

from security import errors
from security.errors import Problem, problem_types
from security.policy import exempt_from_policy
from tests.clients import CHALLENGES, PROBLEM, Api

pytestmark = pytest.mark.django_db

INSTANCE = re.compile(r"urn:uuid:[0-9a-f-]{36}")


def broken(request):
    raise RuntimeError("postgresql://portcullis_owner:hunter2@db/portcullis")


def assert_problem(response, status):
    body = response.json()
    assert response.status_code == body["status"] == status
    assert response["Content-Type"] == PROBLEM
    assert set(body) >= {"type", "title", "status", "detail", "instance"}
    assert INSTANCE.fullmatch(body["instance"])
    assert response["X-Request-ID"] == body["instance"].removeprefix("urn:uuid:")
    return body


@pytest.fixture
def with_broken_view(settings):
    from config import urls

    module = type("urls", (), {**vars(urls)})
    module.urlpatterns = [path("broken", exempt_from_policy(broken, reason="a test")), *urls.urlpatterns]
    settings.ROOT_URLCONF = module


@pytest.mark.asvs("16.5.1", "16.5.4")
def test_the_unforeseen_is_a_500_that_says_nothing(with_broken_view, caplog):
    caplog.set_level(logging.CRITICAL)
    response = Api().get("/broken")

    body = assert_problem(response, 500)
    assert body["type"] == "about:blank"
    for leak in ("hunter2", "RuntimeError", "Traceback", "broken"):
        assert leak not in response.content.decode()


@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/xml", "application/json", "nonsense"])
def test_an_unknown_route_is_a_problem_whatever_accept_says(accept):
    assert_problem(Api().get("/nowhere", HTTP_ACCEPT=accept), 404)


def test_an_unknown_host_is_a_problem():
    body = assert_problem(Api().get("/v1/me", HTTP_HOST="evil.example"), 400)

    assert "evil" not in json.dumps(body)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_trace_and_connect_are_405_everywhere(method):
    for route in ("/v1/me", "/sign-in", "/nowhere"):
        response = Api().generic(method, route)
        assert_problem(response, 405)
        assert response["Allow"]


def test_what_cannot_be_accepted_is_406(api):
    assert_problem(api.get("/v1/me", HTTP_ACCEPT="text/html"), 406)


def test_no_credentials_is_401_with_a_bare_challenge():
    response = Api().get("/v1/me")

    assert_problem(response, 401)
    assert response["WWW-Authenticate"] == CHALLENGES


def test_a_bad_token_is_401_invalid_token():
    response = Api("nonsense").get("/v1/me")

    assert_problem(response, 401)
    assert response["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Basic eDp5",
        "Bearer \x7f",
        "Token x",
        "Bearer a,Bearer b",
        "Bearer " + "a" * 600,
    ],
)
def test_malformed_credentials_are_400_invalid_request(header):
    response = Api().get("/v1/me", HTTP_AUTHORIZATION=header)

    assert_problem(response, 400)
    assert response["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_request"'


def test_a_failed_csrf_check_is_a_problem():
    from tests.clients import Page

    assert_problem(Page().post("/sign-in", {"username": "a", "password": "b"}), 403)


def test_an_oversize_form_is_413(settings):
    body = b"a=" + b"x" * (settings.MAX_BODY_BYTES + 1)

    response = Api().generic("POST", "/oauth/token", body, content_type="application/x-www-form-urlencoded")

    assert assert_problem(response, 413)["title"] == "Content Too Large"


def test_titles_are_those_of_rfc_9110_whatever_python_calls_them(settings):
    body = assert_problem(Api().get("/v1/me?" + "x" * settings.MAX_TARGET_BYTES), 414)

    assert body["title"] == body["detail"] == "URI Too Long"


def test_every_problem_type_resolves_and_explains_itself():
    slugs = problem_types()
    assert {"invalid-input", "insufficient-scope", "malformed-body"} <= slugs.keys()
    for slug, problem in slugs.items():
        page = Api().get(f"/problems/{slug}")
        assert page.status_code == 200
        assert page.json()["title"] == problem.title
        assert page.json()["meaning"]


def test_an_unknown_problem_type_is_404():
    assert_problem(Api().get("/problems/nonsense"), 404)


def test_every_problem_class_is_complete():
    for problem in problem_types().values():
        assert problem.title
        assert problem.default_detail
        assert problem.meaning
        assert problem.__doc__


def test_two_problems_never_share_a_slug():
    def descend(problem):
        for child in problem.__subclasses__():
            yield child
            yield from descend(child)

    slugs = [problem.slug for problem in descend(Problem) if problem.slug]
    assert len(slugs) == len(set(slugs))


def test_a_problem_has_no_type_of_its_own_without_a_slug(rf):
    response = errors.problem_response(rf.get("/"), 404)

    assert json.loads(response.content) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "Not Found",
    }
