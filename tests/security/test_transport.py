"""security.transport."""

import pytest

from tests.clients import PROBLEM

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("route", ["/v1/me", "/sign-in", "/oauth/token", "/docs", "/nowhere", "/healthz"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_plain_http_is_refused_and_never_redirected(api, method, route):
    response = api.generic(method, route, plain=True)

    assert response.status_code == 403
    assert response["Content-Type"] == PROBLEM
    assert "Location" not in response
    assert "Set-Cookie" not in response


def test_a_header_does_not_make_it_https(api):
    response = api.get("/v1/me", plain=True, HTTP_X_FORWARDED_PROTO="https", HTTP_X_FORWARDED_SSL="on")

    assert response.status_code == 403


def test_https_passes(api):
    assert api.get("/v1/me").status_code == 200
