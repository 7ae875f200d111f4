"""Outbound: the one way in which this service fetches a URL that somebody else chose.

Threat: server-side request forgery. A URL in a client's or tenant's record makes the service call its own
database, the cloud's metadata address or a neighbour; by its name, by a redirect, or by a name whose address
changes between the check and the call. Guarantee: https only, default port or 8443, no user info; every
address that the name resolves to has to be public; the connection goes to the address that was checked, with
TLS verified for the name; redirects are not followed; time and size are bounded.

OWASP API7:2023. ASVS 1.3.6, 13.2.4, 15.3.2.
"""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from threading import Timer
from urllib.parse import urlsplit

MAX_BYTES = 64 * 1024
MAX_SECONDS = 3.0
MAX_URL_LENGTH = 2048
PORTS = frozenset({443, 8443})
#: Networks of IPv6 that lead to an IPv4 address written into them, which may be anyone's (NAT64, 6to4,
#: Teredo).
TUNNELS = tuple(map(ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))


class Refused(Exception):  # noqa: N818  a state of the world, like Django's own exceptions
    """The URL may not be fetched, or did not give a usable answer. The text is for the log alone."""


def is_public(address: str) -> bool:
    """Whether ``address`` is on the internet at large."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.is_global and not parsed.is_multicast and not any(parsed in net for net in TUNNELS)


@dataclass(frozen=True, slots=True)
class OutboundClient:
    """``permits`` says which addresses may be called; only a test has another than ``is_public``."""

    permits: Callable[[str], bool] = is_public
    ports: frozenset[int] = PORTS
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def get(self, url: str, *, accept: str, max_bytes: int = MAX_BYTES) -> bytes:
        """The body of a 200. Raises Refused."""
        host, port, target = self._parse(url)
        address = self._resolve(host, port)
        connection = _PinnedConnection(host, port, address=address, context=self.context)
        # A timeout of the socket starts anew with every byte; this one does not.
        watchdog = Timer(MAX_SECONDS, connection.cut)
        watchdog.daemon = True
        headers = {"Accept": accept, "Accept-Encoding": "identity", "User-Agent": "portcullis"}
        try:
            watchdog.start()
            with contextlib.closing(connection):
                connection.request("GET", target, headers=headers)
                body = _read(connection.getresponse(), max_bytes)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Refused(f"{host} could not be read: {type(error).__name__}") from None
        finally:
            watchdog.cancel()
        if connection.was_cut:
            raise Refused(f"{host} is too slow")
        return body

    def _parse(self, url: str) -> tuple[str, int, str]:
        try:
            parts = urlsplit(url)
            port = parts.port or 443
        except ValueError:
            raise Refused("not a URL") from None
        odd = not url.isascii() or any(character <= " " or character == "\\" for character in url)
        if odd or len(url) > MAX_URL_LENGTH or parts.scheme != "https" or not parts.hostname:
            raise Refused("not an https URL")
        if parts.username is not None or parts.password is not None or port not in self.ports:
            raise Refused("user information, or another port")
        return parts.hostname, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def _resolve(self, host: str, port: int) -> str:
        """One address of ``host``, of which every one is permitted."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Refused(f"{host} has no address: {type(error).__name__}") from None
        addresses = [str(entry[4][0]) for entry in found]
        if not addresses or not all(self.permits(address) for address in addresses):
            raise Refused(f"{host} has an address that is not public")
        return addresses[0]


class _PinnedConnection(http.client.HTTPSConnection):
    """Connects to ``address``; the name is for TLS and the Host header."""

    def __init__(self, host: str, port: int, *, address: str, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=MAX_SECONDS, context=context)
        self.was_cut = False
        self._address = address
        self._tls = context

    def connect(self) -> None:
        raw = socket.create_connection((self._address, self.port), timeout=self.timeout)
        self.sock = raw  # so that it can be cut during the handshake
        self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)

    def cut(self) -> None:
        """End it, whatever it is at. From another thread."""
        self.was_cut = True
        if self.sock is not None:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


def _read(response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    if response.status != http.client.OK:
        raise Refused(f"status {response.status}")  # a redirect is one too
    body = response.read(max_bytes + 1)
    if len(body) > max_bytes:
        raise Refused("too large")
    if response.length:
        raise Refused("cut short")
    return body
