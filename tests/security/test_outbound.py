"""security.outbound: against a real HTTPS server on this machine, which only a test's client may call."""

import http.server
import socket
import ssl
import threading
import time

import pytest

from deploy.local import certificates
from security import outbound
from security.outbound import OutboundClient, Refused, is_public


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_the_internet_is_public(address):
    assert is_public(address)


@pytest.mark.asvs("1.3.6")
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",  # noqa: S104  an address to refuse
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "ff0e::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "2001:db8::1",
    ],
)
def test_everything_inside_is_not(address):
    assert not is_public(address)


@pytest.mark.asvs("1.2.2", "1.3.6", "4.2.5")
@pytest.mark.parametrize(
    "url",
    [
        "https://localhost/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://no-such-host.invalid/",
        "http://8.8.8.8/",
        "ftp://8.8.8.8/",
        "file:///etc/passwd",
        "gopher://8.8.8.8/",
        "https://user@8.8.8.8/",
        "https://user:password@8.8.8.8/",
        "https://8.8.8.8:22/",
        "https://8.8.8.8:99999/",
        "https://8.8.8.8:x/",
        "https:///path",
        "https://",
        "//8.8.8.8/",
        "8.8.8.8",
        "",
        "https://8.8.8.8/\r\nHost: db",
        "https://8.8.8.8\\@localhost/",
        "https://ex\u00e4mple.example/",
        "https://8.8.8.8/" + "x" * 3000,
    ],
)
def test_what_is_not_a_public_https_url_is_not_called(url, monkeypatch):
    called = []
    monkeypatch.setattr(socket, "create_connection", lambda *args, **kwargs: called.append(args))

    with pytest.raises(Refused):
        OutboundClient().get(url, accept="*/*")

    assert called == []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append((self.path, self.headers["Host"]))
        getattr(self, "do_" + self.path.strip("/").partition("?")[0])()

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_good(self):
        self.answer(200, b"good")

    def do_large(self):
        self.answer(200, b"x" * (outbound.MAX_BYTES + 1))

    def do_endless(self):
        self.send_response(200)
        self.end_headers()
        for _ in range(100):
            self.wfile.write(b"x" * 65536)

    def do_elsewhere(self):
        self.answer(302, Location="/good")

    def do_missing(self):
        self.answer(404, b"x")

    def do_trickle(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.05)

    def do_nothing(self):
        self.server.over.wait(10)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args):
        """The client hung up: that is what is tested."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    certificates.ensure(directory)
    server = Server(("127.0.0.1", 0), Handler)
    server.seen, server.over, server.ca = [], threading.Event(), str(directory / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def port(server):
    return server.server_address[1]


@pytest.fixture
def client(server, port):
    """One that may call loopback: the server of this test."""
    return OutboundClient(
        permits=lambda address: address == "127.0.0.1",
        ports=frozenset({port}),
        context=ssl.create_default_context(cafile=server.ca),
    )


@pytest.fixture(autouse=True)
def _only_ipv4(monkeypatch):
    """localhost has an IPv6 address too on some machines, which the test's client does not permit."""
    look_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, *args, **kw: (
            look_up("127.0.0.1", port, **kw) if host == "localhost" else look_up(host, port, **kw)
        ),
    )


def test_a_permitted_address_is_read(client, server, port):
    server.seen.clear()

    assert client.get(f"https://localhost:{port}/good?a=b", accept="text/plain") == b"good"
    assert server.seen == [("/good?a=b", f"localhost:{port}")]


def test_the_same_address_is_not_called_by_the_real_client(server, port):
    server.seen.clear()
    real = OutboundClient(ports=frozenset({port}), context=ssl.create_default_context(cafile=server.ca))

    with pytest.raises(Refused, match="not public"):
        real.get(f"https://localhost:{port}/good", accept="*/*")
    assert server.seen == []


def test_one_address_inside_among_public_ones_is_enough_to_refuse(client, port, monkeypatch):
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.1", "10.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)

    with pytest.raises(Refused, match="not public"):
        client.get(f"https://localhost:{port}/good", accept="*/*")


@pytest.mark.asvs("1.3.6")
def test_a_name_whose_address_changes_is_called_at_the_one_that_was_checked(
    client, server, port, monkeypatch
):
    answers = iter(["127.0.0.1", "127.0.0.2", "127.0.0.3"])
    look_up = socket.getaddrinfo

    def rebind(host, port, *args, **kwargs):
        return look_up(next(answers) if host == "localhost" else host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebind)

    assert client.get(f"https://localhost:{port}/good", accept="*/*") == b"good"
    assert next(answers) == "127.0.0.2"  # the name was looked up once


@pytest.mark.asvs("1.3.6")
@pytest.mark.parametrize("path", ["elsewhere", "missing", "large", "endless"])
def test_anything_but_a_small_200_is_refused(client, server, port, path):
    server.seen.clear()

    with pytest.raises(Refused):
        client.get(f"https://localhost:{port}/{path}", accept="*/*")
    assert len(server.seen) == 1  # a redirect is not followed


@pytest.mark.asvs("16.5.2")
@pytest.mark.parametrize("path", ["trickle", "nothing"])
def test_a_slow_server_is_cut_off(client, port, path, monkeypatch):
    monkeypatch.setattr(outbound, "MAX_SECONDS", 0.5)
    started = time.monotonic()

    with pytest.raises(Refused):
        client.get(f"https://localhost:{port}/{path}", accept="*/*")
    assert time.monotonic() - started < 3


def test_a_certificate_of_somebody_else_is_refused(client, port):
    stranger = OutboundClient(permits=client.permits, ports=client.ports)

    with pytest.raises(Refused):
        stranger.get(f"https://localhost:{port}/good", accept="*/*")
