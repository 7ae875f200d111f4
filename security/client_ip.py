"""Client address: whose request this is, as far as the network can tell.

Threat: a caller who writes X-Forwarded-For and so gets a fresh rate limit for each request, blames somebody
else in the audit trail, or slips past a block. Guarantee: the address is the TCP peer's, unless that peer is
a configured proxy; then it is the rightmost address in X-Forwarded-For that no configured proxy owns, which
is the last one that a trusted machine wrote down. Whatever is to the left of it is the caller's own text.
An unreadable entry ends the walk at the machine that passed it on. An IPv6 network of 64 bits is one
caller; IPv4 in IPv6 is IPv4.

Settings: TRUSTED_PROXIES (CIDR networks). OWASP API4:2023. ASVS 4.1.3, 15.3.4.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.http import HttpRequest

UNKNOWN = "unknown"
MAX_HOPS = 16
IPV6_PREFIX = 64
#: A network this wide is not somebody's proxy.
MIN_PREFIX = 8

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def client_address(request: HttpRequest) -> str:
    """The caller's address in canonical spelling, or ``unknown``. Never raises."""
    peer = _parse(request.META.get("REMOTE_ADDR", ""))
    if peer is None:
        return UNKNOWN
    networks = _networks(tuple(settings.TRUSTED_PROXIES))
    if networks and _is_trusted(peer, networks):
        hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
        for hop in reversed(hops[-MAX_HOPS:]):
            address = _parse(hop.strip())
            if address is None:
                break
            peer = address
            if not _is_trusted(address, networks):
                break
    return str(peer)


def throttle_key(address: str) -> str:
    """What is limited together: an IPv4 address, or an IPv6 network of 64 bits."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((int(parsed), IPV6_PREFIX), strict=False))
    return str(parsed or UNKNOWN)


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=4)
def _networks(cidrs: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(cidr) for cidr in cidrs)


def _is_trusted(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


@register(Tags.security)
def check_client_ip(**kwargs: Any) -> list[CheckMessage]:
    """security.E035: an entry of TRUSTED_PROXIES is not a network; E036: it is half the internet."""
    messages: list[CheckMessage] = []
    for cidr in settings.TRUSTED_PROXIES:
        try:
            network = ip_network(cidr)
        except ValueError:
            messages.append(
                Error(
                    f"TRUSTED_PROXIES: {cidr!r} is not a network.",
                    hint="Give addresses or CIDR networks, such as 10.0.3.0/24, without host bits.",
                    id="security.E035",
                )
            )
            continue
        if network.prefixlen < MIN_PREFIX:
            messages.append(
                Error(
                    f"TRUSTED_PROXIES: {cidr} would let almost anyone choose the address they come from.",
                    hint="Name the addresses of your own proxies.",
                    id="security.E036",
                )
            )
    return messages
