"""Where one request ends and the next begins, in HTTP/1.1 and HTTP/2: none hides in another."""

import socket
import ssl
import struct

import pytest

HOST = b"Host: localhost\r\n"
SMUGGLED = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS = 0x1, 0x4


def connect(live, *protocols):
    context = ssl.create_default_context(cafile=str(live.directory / "tls" / "ca.pem"))
    context.set_alpn_protocols(list(protocols))
    plain = socket.create_connection(("localhost", live.port), timeout=10)
    return context.wrap_socket(plain, server_hostname="localhost")


def answers(live, request, seconds=2.0):
    """Whatever comes back until the server closes, or is silent for a while."""
    with connect(live, "http/1.1") as connection:
        connection.sendall(request)
        connection.settimeout(seconds)
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except (TimeoutError, ConnectionError):
            pass
        return received


def post(fields, body):
    return b"POST /oauth/token HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"


def length(number):
    return b"Content-Length: %d\r\n" % number


@pytest.mark.asvs("4.2.1")
@pytest.mark.parametrize(
    "request_",
    [
        post(length(6) + CHUNKED, b"0\r\n\r\n" + SMUGGLED),
        post(CHUNKED + length(4), b"5c\r\nGET /healthz HTTP/1.1\r\n\r\n0\r\n\r\n" + SMUGGLED),
        post(length(0) + length(len(SMUGGLED)), SMUGGLED),
        post(b"Content-Length: 0, 44\r\n", SMUGGLED),
        post(b"Content-Length: +0\r\n", SMUGGLED),
        post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n" + SMUGGLED),
        post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    ],
    ids=["length and chunks", "chunks and length", "two lengths", "a list", "a sign", "unknown", "a blank"],
)
def test_no_second_request_is_hidden_in_an_ambiguous_one(live, request_):
    received = answers(live, request_)

    assert b"HTTP/1.1 200" not in received
    assert received.count(b"HTTP/1.1 ") <= 1


def test_two_plain_requests_are_answered_one_after_the_other(live):
    """So that the above would see a second answer."""
    assert answers(live, SMUGGLED * 2).count(b"HTTP/1.1 200") == 2


def unchunked(body):
    """The body without its frames, of which there is exactly one end."""
    whole = b""
    while True:
        size, _, rest = body.partition(b"\r\n")
        number = int(size, 16)
        assert rest[number : number + 2] == b"\r\n"
        whole, body = whole + rest[:number], rest[number + 2 :]
        if number == 0:
            assert body == b""
            return whole


@pytest.mark.asvs("4.2.2")
@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /healthz", 200),
        (b"HEAD /healthz", 200),
        (b"GET /v1/me", 401),
        (b"HEAD /v1/me", 401),
        (b"GET /nowhere", 404),
        (b"DELETE /v1/me", 405),
        (b"GET /docs", 302),
        (b"GET /static/accounts/page.css", 200),
        (b"HEAD /static/accounts/page.css", 200),
    ],
)
def test_an_answer_ends_where_it_says(live, line, status):
    """By a length or by chunks, never by both; and that of HEAD has no body."""
    received = answers(live, line + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")

    head, _, body = received.partition(b"\r\n\r\n")
    fields = [field.lower().replace(b" ", b"") for field in head.split(b"\r\n")[1:]]
    lengths = [int(field.partition(b":")[2]) for field in fields if field.startswith(b"content-length:")]
    chunked = fields.count(b"transfer-encoding:chunked")
    assert head.split()[1] == b"%d" % status
    assert len(lengths) + chunked <= 1
    if line.startswith(b"HEAD"):
        assert body == b""
    elif chunked:
        unchunked(body)
    else:
        assert len(body) == sum(lengths)


# --- HTTP/2, by hand: a client's library would not send what has to be refused ---


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A field that is neither indexed nor compressed (RFC 7541 6.2.2)."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def request(*extra, method=b"GET", path=b"/healthz"):
    fields = (
        (b":method", method),
        (b":scheme", b"https"),
        (b":authority", b"localhost"),
        (b":path", path),
    )
    return b"".join(literal(*field) for field in (*fields, *extra))


def exactly(connection, number):
    received = b""
    while len(received) < number:
        chunk = connection.recv(number - len(received))
        if not chunk:
            raise EOFError
        received += chunk
    return received


def outcome(live, *extra):
    """The kind of the first frame that answers the request on stream 1, or that ends the connection."""
    with connect(live, "h2") as connection:
        assert connection.selected_alpn_protocol() == "h2"
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
        connection.sendall(frame(HEADERS, END_STREAM | END_HEADERS, 1, request(*extra)))
        while True:
            try:
                head = exactly(connection, 9)
                exactly(connection, int.from_bytes(head[:3], "big"))
            except (EOFError, ConnectionError):
                return GOAWAY
            kind, stream = head[3], int.from_bytes(head[5:], "big")
            if kind == GOAWAY or stream == 1:
                return kind


@pytest.mark.parametrize("extra", [[], [(b"x-a", b"b")], [(b"te", b"trailers")]])
def test_a_sound_request_in_http2_is_answered(live, extra):
    assert outcome(live, *extra) == HEADERS


@pytest.mark.asvs("4.2.3")
@pytest.mark.parametrize(
    "field",
    [
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"keep-alive"),
        (b"keep-alive", b"timeout=5"),
        (b"upgrade", b"websocket"),
        (b"proxy-connection", b"close"),
    ],
)
def test_a_field_of_the_connection_in_http2_is_refused(live, field):
    assert outcome(live, field) in {RST_STREAM, GOAWAY}


@pytest.mark.asvs("4.2.4")
@pytest.mark.parametrize(
    "field",
    [
        (b"x-a", b"b\r\nx-c: d"),
        (b"x-a", b"b\nx-c: d"),
        (b"x-a", b"b\rc"),
        (b"x-a", b"b\x00c"),
        (b"x-a\r\nx-c", b"d"),
        (b"x-a: b\r\nx-c", b"d"),
    ],
)
def test_a_line_break_in_a_field_of_http2_is_refused(live, field):
    assert outcome(live, field) in {RST_STREAM, GOAWAY}


FORM = ((b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", b"10"))
ENDINGS = {
    "ended early": frame(DATA, END_STREAM, 1, b"a=b"),
    "reset": frame(DATA, 0, 1, b"a=b") + frame(RST_STREAM, 0, 1, b"\x00\x00\x00\x08"),
    "closed": frame(DATA, 0, 1, b"a=b"),
    "closed at once": b"",
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
@pytest.mark.parametrize(
    ("path", "fields"), [(b"/oauth/token", FORM), (b"/v1/me", ())], ids=["length", "no length"]
)
def test_a_body_that_broke_off_costs_no_thread(live, path, fields, ending):
    """More than there are threads, of which each went round for ever in looking for the rest."""
    headers = request(*fields, method=b"POST", path=path)
    for _ in range(12):
        with connect(live, "h2") as connection:
            connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, headers))
            connection.sendall(ending)

    for _ in range(12):
        assert b"HTTP/1.1 200" in answers(
            live, SMUGGLED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )


@pytest.mark.parametrize(
    ("method", "field", "status"),
    [
        (b"POST", (b"content-type", b"application/json"), b"411"),
        (b"POST", (b"x-a", b"b"), b"405"),
        (b"DELETE", (b"content-type", b"application/json"), b"405"),
    ],
    ids=["a type", "neither", "a deletion"],
)
def test_in_http2_a_type_announces_a_body(live, method, field, status):
    """There is no other sign of one that comes without its length, short of waiting for it."""
    headers = request(field, method=method, path=b"/v1/me")
    with connect(live, "h2") as connection:
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, headers))
        received, kind = b"", None
        while kind != DATA:
            head = exactly(connection, 9)
            kind, received = head[3], exactly(connection, int.from_bytes(head[:3], "big"))

    assert b'"status":' + status in received
