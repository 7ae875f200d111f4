"""Keyring: the keys of this service's own signatures, several at a time, so that one can be replaced.

Threat: a signing key that cannot be changed without breaking what is in flight, and so never is; one key
for several purposes, whose outputs then stand for each other. Guarantee: the first key of ``SIGNING_KEYS``
signs, all verify. Each purpose has a key of its own derived from each. To rotate: put the new key first,
restart every process; when nothing that the old key signed can be alive any more (IDEMPOTENCY_LIFETIME, 24
hours; nonces: five minutes), drop the old. Sooner, a request that is sent again would look like another one.

Settings: SIGNING_KEYS, separated by commas or white space; without any, SECRET_KEY is the first and
SECRET_KEY_FALLBACKS are the others. ASVS 11.1.1,
13.3.4.
"""

import hmac
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

MIN_KEY_LENGTH = 43  # 256 bits in base64url
SIGNATURE_BYTES = 16


def sign(purpose: str, message: bytes) -> bytes:
    """The signature of ``message`` under the first key: SIGNATURE_BYTES of HMAC-SHA-256."""
    return _mac(_keys()[0], purpose, message)


def is_signed(purpose: str, message: bytes, signature: bytes) -> bool:
    """Whether any key made ``signature``. Takes the same time whichever, or none, did."""
    # A list, not a generator: any() would stop at the first that fits.
    return any([hmac.compare_digest(_mac(key, purpose, message), signature) for key in _keys()])  # noqa: C419  as said


def _keys() -> list[str]:
    keys: list[str] = settings.SIGNING_KEYS
    return keys or [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


def _mac(key: str, purpose: str, message: bytes) -> bytes:
    derived = hmac.digest(key.encode(), purpose.encode(), "sha256")
    return hmac.digest(derived, message, "sha256")[:SIGNATURE_BYTES]


@register(Tags.security)
def check_keyring(**kwargs: Any) -> list[CheckMessage]:
    """security.E080: a key that can be guessed; E081: the same key twice."""
    messages: list[CheckMessage] = []
    keys = settings.SIGNING_KEYS
    if any(len(key) < MIN_KEY_LENGTH or len(set(key)) < 10 for key in keys):
        messages.append(
            Error(
                "SIGNING_KEYS has a key that is too short or too uniform.",
                hint=f"Give at least {MIN_KEY_LENGTH} random characters for each, such as those of "
                'python -c "import secrets; print(secrets.token_urlsafe(32))".',
                id="security.E080",
            )
        )
    if len(set(keys)) != len(keys):
        messages.append(
            Error(
                "SIGNING_KEYS has one key twice.",
                hint="Put the new key first, keep the old one behind it for a while, then drop it.",
                id="security.E081",
            )
        )
    return messages
