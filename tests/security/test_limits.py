"""security.limits."""

import pytest

from security.limits import HEADER_BYTES, TARGET_BYTES
from tests.clients import PROBLEM, Api

pytestmark = pytest.mark.django_db


def refused(response, status):
    return response.status_code == status and response["Content-Type"] == PROBLEM


@pytest.mark.parametrize("path", ["/healthz", "/v1/me", "/sign-in", "/nowhere"])
def test_a_target_that_is_too_long(path, settings):
    room = settings.MAX_TARGET_BYTES - len(path)

    assert refused(Api().get(path + "?" + "x" * (room + 1)), 414)
    assert Api().get(path + "?" + "x" * room).status_code != 414
    assert refused(Api().get(path + "/" + "x" * room), 414)
    assert refused(Api().get(path, **{TARGET_BYTES: settings.MAX_TARGET_BYTES + 1}), 414)


def test_headers_that_are_too_long(settings):
    assert refused(Api().get("/healthz", HTTP_X_ONE="x" * settings.MAX_HEADER_BYTES), 431)
    half = "x" * (settings.MAX_HEADER_BYTES // 2)
    assert refused(Api().get("/healthz", HTTP_X_ONE=half, HTTP_X_TWO=half), 431)
    assert Api().get("/healthz", HTTP_X_ONE=half).status_code == 200
    assert refused(Api().get("/healthz", CONTENT_TYPE="x" * settings.MAX_HEADER_BYTES), 431)
    assert refused(Api().get("/healthz", **{HEADER_BYTES: settings.MAX_HEADER_BYTES + 1}), 431)


@pytest.mark.parametrize("method", ["get", "Get", "post", "gET"])
def test_a_method_in_other_letters_is_none(method):
    response = Api().get("/healthz", REQUEST_METHOD=method)

    assert refused(response, 405)
    assert response["Allow"]


@pytest.mark.parametrize(
    "query", ["search=%ff", "search=%c3%28", "%ed%a0%80=1", "a=1&b=%80", "search=%c0%af"]
)
def test_a_query_that_is_not_utf8(api, query):
    assert refused(api.generic("GET", "/v1/me", QUERY_STRING=query), 400)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_reading_request_has_no_body(api, method):
    assert api.generic(method, "/v1/me", b"{}", content_type="application/json").status_code == 400
    assert api.generic(method, "/v1/me", HTTP_TRANSFER_ENCODING="chunked").status_code == 400
    assert api.generic(method, "/v1/me").status_code == 200


@pytest.mark.parametrize("query", ["search=%C3%BC", "search=%EF%BF%BD", "search=100%", "search=%zz"])
def test_a_query_that_is(api, query):
    """What it says is judged by the operation."""
    response = api.generic("GET", "/v1/me", QUERY_STRING=query)

    assert [error["code"] for error in response.json()["errors"]] == ["unknown"]
