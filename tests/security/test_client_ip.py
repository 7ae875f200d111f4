"""security.client_ip."""

import pytest
from django.test import RequestFactory

from security.client_ip import check_client_ip, client_address, throttle_key


def request_from(peer, forwarded=None):
    headers = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded is not None else {}
    return RequestFactory().get("/", REMOTE_ADDR=peer, **headers)


@pytest.mark.asvs("4.1.3")
def test_without_proxies_the_header_is_only_text():
    assert client_address(request_from("203.0.113.9", "198.51.100.1")) == "203.0.113.9"


@pytest.mark.asvs("4.1.3")
@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        (None, "10.0.0.2"),
        ("", "10.0.0.2"),
        ("198.51.100.7", "198.51.100.7"),
        ("1.1.1.1, 198.51.100.7", "198.51.100.7"),
        ("1.1.1.1, 198.51.100.7, 10.0.0.3", "198.51.100.7"),
        ("198.51.100.7, garbage", "10.0.0.2"),
        ("198.51.100.7, garbage, 10.0.0.3", "10.0.0.3"),
        ("198.51.100.7:443", "10.0.0.2"),
        ("10.0.0.3", "10.0.0.3"),
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        (",".join(["1.1.1.1"] * 5000), "1.1.1.1"),
    ],
)
def test_behind_a_proxy_it_is_the_rightmost_that_no_proxy_owns(settings, forwarded, expected):
    settings.TRUSTED_PROXIES = ["10.0.0.0/24"]

    assert client_address(request_from("10.0.0.2", forwarded)) == expected


@pytest.mark.asvs("4.1.3")
def test_a_stranger_who_claims_to_be_a_proxy_is_not_believed(settings):
    settings.TRUSTED_PROXIES = ["10.0.0.0/24"]

    assert client_address(request_from("203.0.113.9", "198.51.100.1")) == "203.0.113.9"


@pytest.mark.parametrize("peer", ["", "unix:", "a" * 1000])
def test_it_never_raises(peer):
    assert client_address(request_from(peer)) == "unknown"


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv6_network_is_one_caller(address, key):
    assert throttle_key(address) == key


@pytest.mark.parametrize(
    ("entry", "id_"),
    [
        ("proxy.example", "security.E035"),
        ("10.0.0.1/24", "security.E035"),
        ("0.0.0.0/0", "security.E036"),
        ("::/0", "security.E036"),
        ("0.0.0.0/1", "security.E036"),
    ],
)
def test_an_unsafe_proxy_is_an_error(settings, entry, id_):
    settings.TRUSTED_PROXIES = [entry]

    (error,) = check_client_ip()

    assert error.id == id_


def test_networks_and_addresses_pass(settings):
    settings.TRUSTED_PROXIES = ["10.0.0.0/24", "192.0.2.1", "2001:db8::/32"]

    assert check_client_ip() == []
