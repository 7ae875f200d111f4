"""What is put into requests: values, documents, headers and paths that parsers disagree about."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

UNKNOWN_ID = "01a20b51-1e4c-77a9-81e6-aaeaf2d023ae"

TEXTS = (
    "",
    " ",
    "a",
    "x" * 255,
    "x" * 5_000,
    "\t\n\r",
    "\u202egnp.exe",
    "\u200b",
    "\ufeff",
    "\ufdfa" * 40,
    "e\u0301" * 100,
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\u0660\u0661\u0662",
    "İı",
    "ß" * 200,
    "\uffff",
    "\u2028",
    "' OR '1'='1",
    "'; DROP TABLE accounts_user; --",
    "%s%s%n",
    "{{7*7}}",
    "${jndi:ldap://127.0.0.1/a}",
    "../../../../etc/passwd",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "true",
    "null",
    "NaN",
    "1e309",
    "-0",
    "2026-02-30",
    "9999-12-31",
    "0000-01-01",
    "2026-11-25T00:00:00Z",
    "00000000-0000-0000-0000-000000000000",
    UNKNOWN_ID.upper(),
    UNKNOWN_ID.replace("-", ""),
    f"{{{UNKNOWN_ID}}}",
    "a@b",
    "a@" + "b" * 250 + ".example",
    '"a b"@c.example',
    "a@xn--80ak6aa92e.example",
)
NUMBERS = (
    0,
    -1,
    1,
    2**31 - 1,
    2**31,
    2**53,
    2**53 + 1,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    10**19,
    0.1,
    -0.0,
    1e22,
    5e-324,
    1.7976931348623157e308,
)
ODD: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"": ""}, {"a": {"b": {"c": []}}}, [{}] * 50)
KEYS = (
    "id",
    "pk",
    "organisation_id",
    "status",
    "__proto__",
    "constructor",
    "$ref",
    "",
    " ",
    "a" * 300,
    "a/b~c",
    "\u0001",
    "ключ",
    "0",
    "_method",
    "non_field_errors",
)

#: Methods that no route has, or that are none.
METHODS = ("PUT", "OPTIONS", "HEAD", "TRACE", "CONNECT", "PROPFIND", "get", "POST ", "G\x01T", "A" * 100, "*")

SEGMENTS = (
    b"%00",
    b"%2f",
    b"%2F..%2f",
    b"..",
    b"%2e%2e",
    b".",
    b"//",
    b";a=b",
    b"%c0%af",
    b"%ff%fe",
    b"%e2%80%ae",
    b"%ed%a0%80",
    b"%0d%0aSet-Cookie:%20a=b",
    b"%",
    b"%zz",
    b"%25%30%30",
    b"\xc3\xa9",
    b"\xff",
    b"a" * 3_000,
    b"%41" * 2_000,
    b"*",
    b"'",
    b"<",
    b"\\",
    b".json",
    b"~",
)
QUERIES = (
    b"limit=-1",
    b"limit=0",
    b"limit=101",
    b"limit=1e2",
    b"limit=%31",
    b"limit=5&limit=6",
    b"limit=" + b"9" * 400,
    b"cursor=",
    b"cursor=%00",
    b"cursor=" + UNKNOWN_ID.encode(),
    b"cursor[]=1",
    b"ordering=-id",
    b"ordering=created_at,-created_at",
    b"search=%",
    b"search=%25%25",
    b"search=" + b"%F0%9F%98%80" * 20,
    b"search=%ed%a0%80",
    b"search=%00",
    b"search=a" + b"a" * 6_000,
    b"status=released",
    b"status=%c0%80",
    b"event=x",
    b"access_token=abcdef",
    b"format=xml",
    b"&&&&=&=",
    b"%",
    b"=",
    b"a" * 4_000,
    b"&".join(b"p%d=1" % number for number in range(1_500)),
    b"x=%u0041",
    b"x=\xff\xfe",
)
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"Accept", b"text/html"),
    (b"Accept", b"application/json;q=nan"),
    (b"Accept", b"application/json;q=1e309, */*;q=-1"),
    (b"Accept", b",;=,;" * 200),
    (b"Accept", b"*/*; a*=x; a*0=y"),
    (b"Accept", b"*/*; a*=utf-8''%0d%0aX-B:%20c"),
    (b"Accept", b"application/json; " + b'a="' + b"\\" * 500),
    (b"Accept-Language", b"x-" + b"a" * 900),
    (b"Accept-Encoding", b"br;q=0, gzip;q=9"),
    (b"Authorization", b"Bearer"),
    (b"Authorization", b"Bearer  a  b"),
    (b"Authorization", b"Bearer " + b"a" * 7_000),
    (b"Authorization", b"Bearer \xff\xfe\xfd"),
    (b"Authorization", b"Basic %%%"),
    (b"Authorization", b"Basic /////w=="),
    (b"Authorization", b"DPoP abc"),
    (b"Authorization", b'Digest username="a"'),
    (b"DPoP", b"a.b.c"),
    (b"DPoP", b"eyJhbGciOiJub25lIn0.e30."),
    (b"DPoP", b"eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7fX0.e30.AA"),
    (b"DPoP", b"." * 3_000),
    (b"Content-Type", b"application/json; charset=utf-16"),
    (b"Content-Type", b"application/json; charset=" + b"x" * 500),
    (b"Content-Type", b"application/json; charset=hex"),
    (b"Content-Type", b"application/json; charset=undefined"),
    (b"Content-Type", b"application/json;;;"),
    (b"Content-Type", b"application/json; a*=x; a*0=y"),
    (b"Content-Type", b"text/plain; a*=nonsense''x"),
    (b"Content-Type", b"multipart/form-data; boundary="),
    (b"Content-Type", b"multipart/form-data; boundary=" + b"a" * 300),
    (b"Content-Type", b"text/plain"),
    (b"Content-Type", b"\xff/\xff"),
    (b"Content-Encoding", b"gzip"),
    (b"Content-Encoding", b"identity, identity"),
    (b"Cookie", b"__Host-session=" + b"a" * 300),
    (b"Cookie", b'__Host-session="\\000"; __Host-csrf=\xff'),
    (b"Cookie", b"=;=;;=" * 300),
    (b"Expect", b"100-continue"),
    (b"Expect", b"the-unexpected"),
    (b"Forwarded", b"for=127.0.0.1;host=evil.example"),
    (b"Host", b"evil.example"),
    (b"Host", b"localhost:99999"),
    (b"Host", b"[::1"),
    (b"Idempotency-Key", b'"' + b"k" * 400 + b'"'),
    (b"Idempotency-Key", b"\xff"),
    (b"Idempotency-Key", b'"a", "b"'),
    (b"If-Match", b"*"),
    (b"If-Match", b'W/"1"'),
    (b"If-Match", b'"1", "2", ' + b'"x",' * 400),
    (b"If-Match", b'"\xff'),
    (b"If-None-Match", b"*"),
    (b"If-Modified-Since", b"Thu, 99 Foo 99999 99:99:99 GMT"),
    (b"Origin", b"null"),
    (b"Origin", b"https://evil.example"),
    (b"Origin", b"http://[::1"),
    (b"Range", b"bytes=0-0,1-1," * 200),
    (b"Referer", b"https://[::1"),
    (b"Transfer-Encoding", b"chunked"),
    (b"Transfer-Encoding", b"identity, chunked"),
    (b"Upgrade", b"h2c"),
    (b"User-Agent", b"\xf0\x9f\x98\x80" * 300),
    (b"X-Forwarded-For", b"127.0.0.1, " * 200),
    (b"X-Forwarded-For", b"::ffff:1.2.3.4%eth0"),
    (b"X-Forwarded-Proto", b"http"),
    (b"X-HTTP-Method-Override", b"DELETE"),
    (b"X-Request-ID", b"a\tb"),
    (b"X-" + b"a" * 4_000, b"b"),
    (b"X-Large", b"b" * 30_000),
    (b"Access-Control-Request-Method", b"\xff"),
    (b"Sec-Fetch-Site", b"cross-site"),
)
#: Lines that are no header: the server of HTTP itself has to refuse them.
BROKEN_LINES = (
    b"X-Nul: a\x00b",
    b"No colon at all",
    b": no name",
    b"Content-Length : 5",
    b"Content-Length: -1",
    b"Content-Length: 0x10",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 1, 2",
    b"Transfer-Encoding: \x0bchunked",
    b" folded: line",
    b"X-Bare: a\rb",
)


def spoil(document: Any, rng: Random, schema: dict[str, Any]) -> Any:
    """``document``, an object that the schema describes, with one part of it changed."""
    if not isinstance(document, dict):
        return rng.choice(ODD)
    changed = dict(document)
    properties = schema.get("properties", {})
    names = list(properties) or list(changed)
    action = rng.randrange(8)
    if action == 0 and changed:
        changed.pop(rng.choice(list(changed)))
    elif action == 1:
        changed[rng.choice(KEYS)] = value(rng)
    elif action == 2 and names:
        name = rng.choice(names)
        changed[name] = [changed.get(name)]
    elif action == 3 and names:
        name = rng.choice(names)
        changed[name] = {name: changed.get(name)}
    elif action == 4 and names:
        name = rng.choice(names)
        changed[name] = at_the_bounds(properties.get(name, {}), rng)
    elif names:
        changed[rng.choice(names)] = value(rng)
    return changed


def value(rng: Random) -> Any:
    kind = rng.randrange(10)
    if kind < 4:
        return rng.choice(TEXTS)
    if kind < 6:
        return rng.choice(NUMBERS)
    if kind < 7:
        return rng.choice(ODD)
    if kind < 8:
        return "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(0xD7FF)))) for _ in range(20))
    return rng.choice(TEXTS) + rng.choice(TEXTS)


def at_the_bounds(schema: dict[str, Any], rng: Random) -> Any:
    """What the schema just takes, or just does not."""
    if "enum" in schema:
        chosen = rng.choice(schema["enum"])
        return rng.choice((chosen, str(chosen).upper(), f"{chosen} ", [chosen]))
    if schema.get("type") == "integer":
        low, high = schema.get("minimum", 0), schema.get("maximum", 2**31)
        return rng.choice((low, low - 1, high, high + 1, float(low), str(low)))
    longest = min(schema.get("maxLength", 100), 20_000)
    character = rng.choice(("z", "é", "😀"))
    return character * rng.choice((longest, longest + 1, max(longest - 1, 0), schema.get("minLength", 0)))


def encode(document: Any, rng: Random) -> bytes:
    """A document as it is meant to be sent: some ways to write the same JSON."""
    return json.dumps(
        document,
        ensure_ascii=rng.random() < 0.5,
        indent=rng.choice((None, None, None, 1)),
        sort_keys=rng.random() < 0.2,
    ).encode("utf-8", "surrogatepass")


def _repeat_key(body: bytes, rng: Random) -> bytes:
    return b"{" + body[1:-1] + b"," + body[1:-1] + b"}"


#: Bodies that are no JSON, or that parsers read differently.
NOT_JSON: tuple[Callable[[bytes, Random], bytes], ...] = (
    lambda body, rng: body[: rng.randrange(len(body) + 1)],
    lambda body, rng: b"\xef\xbb\xbf" + body,
    lambda body, rng: body.decode("utf-8", "replace").encode("utf-16"),
    lambda body, rng: body.decode("utf-8", "replace").encode("utf-32-le"),
    lambda body, rng: body.replace(b":", b":NaN,", 1),
    lambda body, rng: b'{"a": Infinity, "b": -Infinity}',
    lambda body, rng: b'{"a": ' + b"9" * rng.choice((21, 400, 5_000)) + b"}",
    lambda body, rng: b'{"a": 1e' + b"9" * 30 + b"}",
    lambda body, rng: b'{"a": "\\ud800"}',
    lambda body, rng: b'{"a": "\\u0000"}',
    lambda body, rng: b'{"a": "\xed\xa0\x80"}',
    lambda body, rng: b'{"a": "\xc0\xaf"}',
    lambda body, rng: b"[" * rng.choice((33, 1_000, 60_000)),
    lambda body, rng: b'{"a":' * rng.choice((33, 1_000, 12_000)) + b"1",
    lambda body, rng: b"[" * 500 + b"]" * 500,
    lambda body, rng: b"{" + b",".join(b'"k%d":1' % number for number in range(1_500)) + b"}",
    lambda body, rng: b'{"a":"' + b"x" * 70_000 + b'"}',
    _repeat_key,
    lambda body, rng: body + body,
    lambda body, rng: body.replace(b'"', b"'"),
    lambda body, rng: body.replace(b"}", b",}"),
    lambda body, rng: b"// a comment\n" + body,
    lambda body, rng: body + b"\x00",
    lambda body, rng: rng.randbytes(rng.randrange(1, 300)),
    lambda body, rng: b"\x1f\x8b\x08\x00" + rng.randbytes(50),
    lambda body, rng: b"a=1&b=2",
    lambda body, rng: b"",
)
