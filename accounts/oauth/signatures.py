"""Signed JWTs from clients: one narrow way to read them, for DPoP proofs and client assertions.

Threat: ``alg: none``, a public key used as an HMAC secret, a key of another kind or a weak one, a header
that asks for extensions, two readings of one document, a token of megabytes. Guarantee: compact form,
bounded, strict JSON, an algorithm of the short list, and a key that fits it, of which only the public part
is ever built.

RFC 7515, RFC 7518, RFC 8725. ASVS 9.1.1, 9.1.2, 9.1.3, 9.2.1.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from jwcrypto.common import JWException
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

from security.errors import SIGNATURE_ALGORITHMS
from security.json_parser import MalformedBody, loads

MAX_LENGTH = 4096
MIN_RSA_BYTES = 2048 // 8
MAX_RSA_BYTES = 4096 // 8

#: alg → what its key has to be, and which members are the public part of one.
KEYS: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "ES256": ({"kty": "EC", "crv": "P-256"}, ("kty", "crv", "x", "y")),
    "PS256": ({"kty": "RSA"}, ("kty", "n", "e")),
    "EdDSA": ({"kty": "OKP", "crv": "Ed25519"}, ("kty", "crv", "x")),
}
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class InvalidSignature(Exception):  # noqa: N818  a state of the document
    """The document is not a signed JWT that this service accepts."""


@dataclass(frozen=True, slots=True)
class SignedJWT:
    """Read, not verified: nothing in it is to be believed before ``verify``."""

    text: str
    header: dict[str, Any]
    claims: dict[str, Any]

    @classmethod
    def read(cls, text: str) -> "SignedJWT":
        """Raises InvalidSignature."""
        parts = text.split(".")
        if len(text) > MAX_LENGTH or len(parts) != 3:
            raise InvalidSignature
        header, claims = _object(parts[0]), _object(parts[1])
        if header.get("alg") not in SIGNATURE_ALGORITHMS or "crit" in header or "b64" in header:
            raise InvalidSignature
        return cls(text, header, claims)

    def verify(self, key: JWK) -> None:
        """``key`` is one that ``public_key`` gave for this document's alg. Raises InvalidSignature."""
        alg = self.header["alg"]
        document = JWS()
        document.allowed_algs = [alg]
        try:
            document.deserialize(self.text)
            document.verify(key, alg=alg)
        except (JWException, ValueError, TypeError):
            raise InvalidSignature from None

    def text_claim(self, name: str, max_length: int) -> str:
        """A claim that has to be a string, and a short one. Raises InvalidSignature."""
        value = self.claims.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= max_length:
            raise InvalidSignature
        return value

    def time_claim(self, name: str) -> int | None:
        """Seconds since 1970, or None. Raises InvalidSignature."""
        value = self.claims.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
            raise InvalidSignature
        return int(value)


def public_key(members: Any, alg: str) -> JWK:
    """The public key in a JWK, of the kind that ``alg`` takes. Raises InvalidSignature."""
    if not isinstance(members, dict) or PRIVATE & members.keys():
        raise InvalidSignature
    wanted, public = KEYS[alg]
    if any(members.get(name) != value for name, value in wanted.items()):
        raise InvalidSignature
    if any(not isinstance(members.get(name), str) for name in public):
        raise InvalidSignature
    if members.get("use", "sig") != "sig" or members.get("alg", alg) != alg:
        raise InvalidSignature
    if (
        wanted["kty"] == "RSA"
        and not MIN_RSA_BYTES <= len(_bytes(members["n"]).lstrip(b"\0")) <= MAX_RSA_BYTES
    ):
        raise InvalidSignature
    try:
        key = JWK(**{name: members[name] for name in public})
        key.get_op_key("verify")  # builds it: a point that is not on the curve shows here
    except (JWException, ValueError, TypeError):
        raise InvalidSignature from None
    return key


def _object(part: str) -> dict[str, Any]:
    try:
        found = loads(_bytes(part))
    except MalformedBody:
        raise InvalidSignature from None
    if not isinstance(found, dict):
        raise InvalidSignature
    return found


def _bytes(text: str) -> bytes:
    """base64url without padding, in its one spelling."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise InvalidSignature from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise InvalidSignature
    return raw
