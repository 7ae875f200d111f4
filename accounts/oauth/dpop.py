"""DPoP: a token that is useless without the key that it was issued to.

Threat: an access or refresh token that leaks (a log, a proxy, a client's disk) and is used by whoever finds
it. Guarantee: a token that was asked for with a proof is bound to the proof's key. The API takes it with
the ``DPoP`` scheme and a proof for this method, this URL and this token, signed by that key, made lately,
with a nonce of this service's, and never seen before; as Bearer it is no token. Refresh tokens of public
clients are bound likewise. An authorization code is, if the client asked for it (``dpop_jkt``, or a proof
with the pushed request).

The nonce is not stored: time and randomness under the first key of security.keyring, good for
``NONCE_SECONDS``. What a proof uses up (``jti`` and key) is marked by the script that judges the rate limits,
so a call with DPoP costs no more round trips than one without; without Valkey it is refused with 503.

RFC 9449. ASVS 10.3.5, 10.4.14.
"""

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from accounts.oauth.signatures import InvalidSignature, SignedJWT, public_key
from security import keyring
from security.throttling import Once

SCHEME = "DPoP"
HEADER = "HTTP_DPOP"
TYPE = "dpop+jwt"
#: How old a proof may be by its own ``iat``, and how far ahead of this clock.
MAX_AGE_SECONDS = 60
MAX_AHEAD_SECONDS = 10
NONCE_SECONDS = 300
NONCE_BODY_BYTES = 5 + 6  # time, randomness
PURPOSE = "dpop-nonce"
MAX_JTI_LENGTH = 256
#: A thumbprint (RFC 7638): SHA-256 in base64url.
THUMBPRINT = re.compile(r"[A-Za-z0-9_\-]{43}")


class InvalidDPoPProof(Exception):  # noqa: N818  a state of the request
    """There is no proof, or more than one, or it does not fit."""


class NonceRequired(Exception):  # noqa: N818  a state of the request
    """The proof fits but for the nonce, which is missing, old, or not ours."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Verified, but for the replay, which the limiter judges. ``jkt`` is the thumbprint of its key."""

    jkt: str
    once: Once

    clock: ClassVar[Callable[[], datetime]] = timezone.now

    @classmethod
    def of(cls, request: HttpRequest, *, access_token: str | None = None) -> "Proof":
        """The proof in the request's DPoP header. Raises InvalidDPoPProof or NonceRequired.

        ``access_token`` is the one that came along; None where none is (the token endpoint).
        """
        now = int(cls.clock().timestamp())
        try:
            jwt = SignedJWT.read(request.META.get(HEADER, ""))
            if jwt.header.get("typ") != TYPE:
                raise InvalidDPoPProof
            key = public_key(jwt.header.get("jwk"), jwt.header["alg"])
            jwt.verify(key)
            issued = jwt.time_claim("iat")
            jti = jwt.text_claim("jti", MAX_JTI_LENGTH)
            if jwt.text_claim("htm", 16) != request.method or not _is_for(
                jwt.text_claim("htu", 2048), request
            ):
                raise InvalidDPoPProof
            ath = jwt.claims.get("ath")
            if access_token is not None and ath != _ath(access_token):
                raise InvalidDPoPProof
            nonce = jwt.claims.get("nonce")
        except InvalidSignature:
            raise InvalidDPoPProof from None
        if issued is None or not now - MAX_AGE_SECONDS <= issued <= now + MAX_AHEAD_SECONDS:
            raise InvalidDPoPProof
        if not isinstance(nonce, str) or not is_nonce(nonce, now):
            raise NonceRequired
        jkt = str(key.thumbprint())
        # Until the proof is too old to be taken: its second and this one are both counted whole.
        return cls(jkt, Once(f"dpop:{jkt}:{jti}", MAX_AGE_SECONDS + MAX_AHEAD_SECONDS + 1))

    def is_by(self, jkt: str) -> bool:
        return compare_digest(self.jkt, jkt)


def new_nonce() -> str:
    """Another one each time, so that a client sees that it is fresh."""
    body = int(Proof.clock().timestamp()).to_bytes(5) + secrets.token_bytes(6)
    return base64.urlsafe_b64encode(body + keyring.sign(PURPOSE, body)).rstrip(b"=").decode()


def is_nonce(text: str, now: int) -> bool:
    """Whether it is one of this service's, of the last NONCE_SECONDS."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return False
    body, signature = raw[:NONCE_BODY_BYTES], raw[NONCE_BODY_BYTES:]
    if not keyring.is_signed(PURPOSE, body, signature):
        return False
    return now - NONCE_SECONDS <= int.from_bytes(body[:5]) <= now + MAX_AHEAD_SECONDS


class NonceMiddleware:
    """DPoP-Nonce on every answer to a caller that speaks DPoP, and of the endpoints that it begins with."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        speaks = HEADER in request.META or is_scheme(request.META.get("HTTP_AUTHORIZATION", ""))
        if speaks or request.path_info in {"/oauth/token", "/oauth/par"}:
            response.headers["DPoP-Nonce"] = new_nonce()
        return response


def is_scheme(authorization: str) -> bool:
    """Whether the Authorization header is of DPoP's scheme, in whatever case."""
    return authorization[: len(SCHEME) + 1].lower() == f"{SCHEME.lower()} "


def _ath(access_token: str) -> str:
    digest = hashlib.sha256(access_token.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _is_for(htu: str, request: HttpRequest) -> bool:
    """Whether ``htu`` is the request's URL, by what this service is called, not by the Host header.

    RFC 9449 section 4.3: without query and fragment, normalised.
    """
    own = urlsplit(settings.PUBLIC_URL)
    try:
        said = urlsplit(htu)
        port = said.port or 443
    except ValueError:
        return False
    return (
        said.scheme == "https"
        and said.username is None
        and said.hostname == own.hostname
        and port == (own.port or 443)
        and unquote(said.path or "/") == request.path
    )
