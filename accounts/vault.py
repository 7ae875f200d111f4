"""Sealing: what the database keeps of a secret that has to be read again.

Threat: a copy of the database (a backup, a replica, an injection that reads) that signs in as anybody,
because TOTP seeds, recovery codes and sessions lie in it as they are. Guarantee: such a value is stored under
AES-256-GCM with a key that is derived from SECRET_KEY (HKDF-SHA256, one key for each purpose) and so is not
in the database, and is bound to its owner as associated data: moved to another row, it does not open.

Settings: SECRET_KEY, and SECRET_KEY_FALLBACKS for what was sealed before a rotation. ASVS 11.3.2, 11.5.1,
14.2.4.
"""

import base64
import binascii
import secrets
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

KEY_BYTES = 32
NONCE_BYTES = 12


class CannotOpen(Exception):  # noqa: N818  a state of the world, like Django's own exceptions
    """Not sealed here, not for this owner, or changed since."""


def seal(text: str, *, purpose: str, owner: str) -> str:
    """``text`` under today's key, in base64url."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(_key(settings.SECRET_KEY, purpose)).encrypt(nonce, text.encode(), owner.encode())
    return base64.urlsafe_b64encode(nonce + sealed).decode()


def unseal(sealed: str, *, purpose: str, owner: str) -> str:
    """The text of ``seal`` for the same purpose and owner. Raises CannotOpen."""
    try:
        raw = base64.urlsafe_b64decode(sealed.encode())
    except (binascii.Error, ValueError):
        raise CannotOpen from None
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            cipher = AESGCM(_key(secret, purpose))
            return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], owner.encode()).decode()
        except (InvalidTag, ValueError):
            continue
    raise CannotOpen


@cache
def _key(secret: str, purpose: str) -> bytes:
    """One key for each purpose, so that what is sealed for one never opens for another."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"portcullis:{purpose}".encode()).derive(secret.encode())
