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
