"""The server's own edges: TLS, framing, its name."""

import socket
import ssl
import subprocess

import pytest


def raw(live, request: bytes, context=None) -> bytes:
    context = context or live.context
    plain = socket.create_connection(("localhost", live.port), timeout=10)
    with plain, context.wrap_socket(plain, server_hostname="localhost") as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
            if b"\r\n\r\n" in answer:
                break
        return answer


def test_plain_http_is_not_served(live):
    with socket.create_connection(("localhost", live.port), timeout=10) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            answer = plain.recv(100)
        except ConnectionError:
            answer = b""
    assert b"200" not in answer


@pytest.mark.asvs("11.6.2")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2])
def test_old_tls_is_refused(live, version):
    context = ssl.create_default_context(cafile=str(live.directory / "tls" / "ca.pem"))
    context.maximum_version = version

    with pytest.raises((ssl.SSLError, ConnectionError)):
        raw(live, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", context)


def test_a_body_without_length_is_411(live):
    chunked = b"Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n2\r\n{}\r\n0\r\n\r\n"

    answer = raw(live, b"POST /v1/me HTTP/1.1\r\nHost: localhost\r\n" + chunked)

    assert b" 411 " in answer.split(b"\r\n")[0]


def test_no_body_needs_no_length(live):
    answer = raw(live, b"POST /v1/me HTTP/1.1\r\nHost: localhost\r\n\r\n")

    assert b" 405 " in answer.split(b"\r\n")[0]


@pytest.mark.parametrize("path", ["/v1/me", "/healthz", "/static/accounts/page.css", "/nowhere"])
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_head_is_get_without_the_body(live, path, version):
    ca = str(live.directory / "tls" / "ca.pem")
    head, get = (
        subprocess.run(
            ["curl", "--silent", "--show-error", version, "--cacert", ca, *options, f"{live.base_url}{path}"],
            capture_output=True,
            text=True,
            check=False,
        )
        for options in (["--head"], ["--include"])
    )

    assert head.returncode == 0, head.stderr
    assert head.stdout.split()[1] == get.stdout.split()[1]
    assert head.stdout.strip().count("\n\n") == 0


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_trace_and_connect_are_refused(live, method):
    target = "/v1/me" if method == "TRACE" else "localhost:443"
    answer = raw(live, f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    assert b" 405 " in answer.split(b"\r\n")[0] or b" 400 " in answer.split(b"\r\n")[0]


def test_the_server_names_no_version(live):
    status, headers, _ = live.get("/healthz")

    assert status == 200
    assert not any(character.isdigit() for character in headers.get("Server", ""))
    assert headers.get("X-Powered-By") is None


@pytest.mark.parametrize("charset", ["hex", "undefined", "utf-16", "utf-8"])
@pytest.mark.parametrize("query", ["limit=1", "&".join(f"p{number}=1" for number in range(1100))])
def test_a_charset_has_no_part_in_reading_the_query(live, charset, query):
    """By Django's own request class some of these were an empty 500, and a traceback for whoever asked."""
    headers = f"Host: localhost\r\nContent-Type: text/plain; charset={charset}\r\n\r\n"

    answer = raw(live, f"GET /v1/me?{query} HTTP/1.1\r\n{headers}".encode())

    assert answer.split(b" ")[1] == b"401"
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("field", ["Content-Type", "Accept"])
@pytest.mark.parametrize(
    "parameters",
    ["a*=x; a*0=y", "a*=nonsense''x", "a*=idna''%ff", "a*=utf-8''%0d%0aX-B:%20c", 'a="' + ";" * 30_000],
    ids=["parts without order", "unknown charset", "failing charset", "line break", "long"],
)
def test_parameters_that_nobody_can_read_fail_nowhere(live, field, parameters):
    """In a Content-Type some ended in an empty 500 of the server; the last took its time."""
    for line in ("GET /v1/me", "POST /oauth/token"):
        headers = f"Host: localhost\r\n{field}: application/json; {parameters}\r\nContent-Length: 0\r\n\r\n"

        answer = raw(live, f"{line} HTTP/1.1\r\n{headers}".encode())

        assert answer.split(b" ")[1][:1] == b"4"
        assert b"X-B" not in answer


@pytest.mark.parametrize("path", ["/oauth/token", "/sign-in"])
def test_a_part_that_nobody_can_read_is_400(live, path):
    """Of one of the forms: the other is refused for want of its token."""
    body = "--x\r\nContent-Disposition: form-data; a*=x; a*0=y\r\n\r\ny\r\n--x--\r\n"
    headers = f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(body)}\r\n\r\n"

    answer = raw(live, f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}{body}".encode())

    assert answer.split(b" ")[1] in {b"400", b"403"}


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1x\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["no host", "another host", "two hosts", "length", "long"],
)
def test_malformed_requests_are_refused(live, request_):
    status = raw(live, request_).split(b"\r\n")[0]

    assert b" 2" not in status[:12]
    assert b" 5" not in status[:12]
