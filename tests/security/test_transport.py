"""security.transport."""

from contextlib import suppress
from io import BytesIO

import pytest
from django.http.multipartparser import MultiPartParserError

from security.transport import UNREADABLE, Utf8Request
from tests.clients import PROBLEM

pytestmark = pytest.mark.django_db


@pytest.mark.asvs("4.1.2")
@pytest.mark.parametrize("route", ["/v1/me", "/sign-in", "/oauth/token", "/docs", "/nowhere", "/healthz"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_plain_http_is_refused_and_never_redirected(api, method, route):
    response = api.generic(method, route, plain=True)

    assert response.status_code == 403
    assert response["Content-Type"] == PROBLEM
    assert "Location" not in response
    assert "Set-Cookie" not in response


@pytest.mark.asvs("4.1.3")
def test_a_header_does_not_make_it_https(api):
    response = api.get("/v1/me", plain=True, HTTP_X_FORWARDED_PROTO="https", HTTP_X_FORWARDED_SSL="on")

    assert response.status_code == 403


def test_https_passes(api):
    assert api.get("/v1/me").status_code == 200


# --- what a request is made of ---


def made(rf, **meta):
    return Utf8Request({**rf.post("/").environ, "wsgi.input": BytesIO(b"a=b"), **meta})


@pytest.mark.asvs("16.5.4")
@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain; a*=x; a*0=y",
        "text/plain; a*=nonsense''x",
        "text/plain; a*=idna''%ff",
        "a/b; " + "a" * 252,
    ],
)
def test_a_type_that_nobody_can_read_is_none_in_particular(rf, content_type):
    request = made(rf, CONTENT_TYPE=content_type)

    assert request.content_type == request.META["CONTENT_TYPE"] == UNREADABLE
    assert request.content_params == {}


@pytest.mark.parametrize("parameters", ["a*=x; a*0=y", "name=\"a\"; b*=nonsense''%41"])
def test_a_part_that_nobody_can_read_is_malformed(rf, parameters):
    body = f"--x\r\nContent-Disposition: form-data; {parameters}\r\n\r\ny\r\n--x--\r\n".encode()
    multipart = {"CONTENT_TYPE": "multipart/form-data; boundary=x", "CONTENT_LENGTH": str(len(body))}
    request = made(rf, **multipart, **{"wsgi.input": BytesIO(body)})

    with suppress(MultiPartParserError):
        assert not request.POST
