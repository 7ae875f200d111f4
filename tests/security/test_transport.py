"""security.transport."""

import time
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


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "application/json"])
def test_what_is_encoded_is_of_no_type_that_anybody_reads(rf, content_type):
    assert made(rf, CONTENT_TYPE=content_type, HTTP_CONTENT_ENCODING="gzip").content_type == UNREADABLE
    assert made(rf, CONTENT_TYPE=content_type, HTTP_CONTENT_ENCODING="Identity").content_type == content_type


@pytest.mark.parametrize(
    ("header", "cookies"),
    [
        ("a=1; b=2", {"a": "1", "b": "2"}),
        ("a=b=c;;  d = e ", {"a": "b=c", "d": "e"}),
        ("lonely; =x", {"": "x"}),
        ('a="\\073"', {"a": '"\\073"'}),
        ("", {}),
    ],
)
def test_cookies_are_as_they_were_sent(rf, header, cookies):
    assert cookies == made(rf, HTTP_COOKIE=header).COOKIES


def test_no_cookie_takes_seconds(rf):
    """CVE-2024-7592: to undo the quotes of this takes some Pythons five."""
    request = made(rf, HTTP_COOKIE='a="' + "\\a" * 16_000 + '"')

    started = time.thread_time()
    assert request.COOKIES
    assert time.thread_time() - started < 0.5


@pytest.mark.parametrize("length", ["14,14", "14,99", "-1", "1_4", "x", "²"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "GET"])
def test_a_length_that_is_none_is_refused(api, method, length):
    """HTTP/2 lets two through, of which Django makes none: it would be served without its body."""
    response = api.generic(method, "/v1/me", CONTENT_LENGTH=length)

    assert response.status_code == 400
    assert response["Content-Type"] == PROBLEM
