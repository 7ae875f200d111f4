"""security.json_parser."""

import io
import json
from types import SimpleNamespace

import pytest
from rest_framework.exceptions import UnsupportedMediaType

from security.json_parser import (
    MAX_DEPTH,
    MAX_KEYS,
    BodyTooLarge,
    MalformedBody,
    ORJSONRenderer,
    StrictJSONParser,
    loads,
)


def parse(body, media_type="application/json", **meta):
    context = {"request": SimpleNamespace(META={"CONTENT_LENGTH": str(len(body)), **meta})}
    return StrictJSONParser().parse(io.BytesIO(body), media_type, context)


@pytest.mark.parametrize("document", [{}, [], "text", 5, -0.5, True, None, {"a": [{"b": "ü😀"}]}, "\u2028"])
def test_it_reads_json(document):
    assert parse(json.dumps(document).encode()) == document
    assert parse(json.dumps(document, ensure_ascii=False).encode()) == document


@pytest.mark.asvs("1.4.2", "1.5.3")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}{}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b"{} // comment",
        b'{"a": 1, "a": 2}',
        b'{"x": {"a": 1, "\\u0061": 2}}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": 123456789012345678901}',
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
        '{"a": 1}'.encode("utf-32"),
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": "\\u0000"}',
        b'{"a": "\x00"}',
        b'{"\\u0000": 1}',
        b'{"a": "\n"}',
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b"[" * 5000 + b"]" * 5000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"[" * 30000,
        json.dumps({str(number): 1 for number in range(MAX_KEYS + 1)}).encode(),
        json.dumps([{"a": 1}] * (MAX_KEYS + 1)).encode(),
    ],
)
def test_everything_else_is_malformed(body):
    with pytest.raises(MalformedBody):
        parse(body)


def test_the_caps_themselves_are_within():
    assert loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert len(loads(json.dumps({str(number): 1 for number in range(MAX_KEYS)}).encode())) == MAX_KEYS


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'],
)
def test_utf8_may_be_said(media_type):
    assert parse(b"{}", media_type) == {}


@pytest.mark.asvs("1.5.1", "1.5.3")
@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "text/plain",
        "application/json; charset=utf-16",
        "application/json; charset=utf-7",
        "application/json; charset=nonsense",
        "application/json; charset=utf-8; charset=utf-16",
        "application/json; profile=x",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/merge-patch+json",
    ],
)
def test_other_types_and_charsets_are_unsupported(media_type):
    with pytest.raises(UnsupportedMediaType):
        parse(b"{}", media_type)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "x"])
def test_encoded_bodies_are_unsupported(encoding):
    with pytest.raises(UnsupportedMediaType):
        parse(b"{}", HTTP_CONTENT_ENCODING=encoding)


def test_a_declared_and_an_undeclared_large_body_are_refused(settings):
    settings.MAX_BODY_BYTES = 10
    with pytest.raises(BodyTooLarge):
        parse(b"{}", CONTENT_LENGTH="11")
    with pytest.raises(BodyTooLarge):
        parse(b'{"a": "aaaaaaaaaaaa"}', CONTENT_LENGTH="")


@pytest.mark.asvs("4.1.1")
@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json;q=0", 406),
        ("*/*;q=0", 406),
        ("application/json; q=0.000, */*", 406),
        ("application/*;Q=0, */*;q=0.5", 406),
        ("*/*;q=0, application/json", 200),
        ("text/html;q=0, application/json;q=0.001", 200),
        ("text/html;q=0, */*", 200),
        ("text/html", 406),
        ("text/html; a*=x; a*0=y", 406),
        ("application/json; a*=x; a*0=y", 200),
        ("application/json;version=1", 200),
        ("*/*;a*=utf-8''%0d%0aX-B:%20c", 200),
    ],
)
@pytest.mark.django_db
def test_what_is_not_wanted_is_not_sent(api, accept, status):
    response = api.get("/v1/me", HTTP_ACCEPT=accept)

    assert response.status_code == status
    assert response["Content-Type"] in {"application/json", "application/problem+json"}


@pytest.mark.asvs("1.2.3")
def test_it_writes_json():
    assert ORJSONRenderer().render({"a": "ü"}) == '{"a":"ü"}'.encode()
    assert ORJSONRenderer().render(None) == b""
    markup = {"a": "</script><!-- \u2028\u2029 ' \" \\ \r\n"}
    assert json.loads(ORJSONRenderer().render(markup)) == markup
