"""Known devices: a lock-out that an attacker cannot turn against the victim.

Threat: whoever knows an address uses up its guesses, and so keeps its owner out. Guarantee: a browser in
which a person has completed a sign-in carries a signed cookie that says so. Guesses from it have a bucket of
their own for that person; those of all other browsers share one, which stays what an attacker meets, from
however many addresses. A stolen cookie gives its thief a second bucket and nothing else: it opens no session.

Settings: THROTTLES (sign_in_address, sign_in_account, sign_in_device, second_factor, second_factor_day). ASVS
6.3.1. OWASP API2:2023.
"""

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponseBase

from security.client_ip import client_address, throttle_key

COOKIE = "__Host-device"
SALT = "accounts.devices"
LIFETIME = timedelta(days=180)
#: A shared computer remembers so many people.
MAX_PEOPLE = 5


def password_limits(request: HttpRequest, account: str) -> list[tuple[str, str]]:
    """What one guess at the password of ``account`` is charged to: (name of the rate, key)."""
    device = known_device(request, account)
    return [
        ("sign_in_address", f"address:{throttle_key(client_address(request))}"),
        ("sign_in_device", f"device:{device}:{account}")
        if device
        else ("sign_in_account", f"account:{account}"),
    ]


def code_limits(request: HttpRequest, user: Any) -> list[tuple[str, str]]:
    """What one guess at a code of ``user``'s is charged to. Only who knows the password gets here."""
    device = known_device(request, user.email)
    key = f"{user.pk}:{device}"
    return [("second_factor", key), ("second_factor_day", key)]


def known_device(request: HttpRequest, account: str) -> str:
    """The name of the device if ``account`` has signed in on it before; else empty."""
    device, people = _read(request)
    return device if _fingerprint(account) in people else ""


def remember_device(request: HttpRequest, response: HttpResponseBase, account: str) -> None:
    """Set the cookie on the answer to a completed sign-in."""
    device, people = _read(request)
    others = [person for person in people if person != _fingerprint(account)]
    value = {
        "device": device or secrets.token_urlsafe(16),
        "people": [*others, _fingerprint(account)][-MAX_PEOPLE:],
    }
    response.set_cookie(
        COOKIE,
        signing.dumps(value, salt=SALT),
        max_age=LIFETIME,
        path="/",
        secure=True,
        httponly=True,
        samesite="Lax",
    )


def _read(request: HttpRequest) -> tuple[str, list[str]]:
    try:
        value = signing.loads(request.COOKIES.get(COOKIE, ""), salt=SALT, max_age=LIFETIME)
    except signing.BadSignature:
        return "", []
    return value["device"], value["people"]


def _fingerprint(account: str) -> str:
    """The cookie lies on somebody's disk: it names nobody."""
    text = f"{settings.SECRET_KEY}:{account.strip().lower()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
