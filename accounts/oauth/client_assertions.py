"""Client assertions: a client proves who it is with a signature instead of a shared secret.

Threat: a client secret that leaks from either side; an assertion that is replayed, or made for another
server and passed on to this one. Guarantee: a JWT signed with a key that the client registered, by ES256,
PS256 or EdDSA; ``iss`` and ``sub`` are the client, ``aud`` is this issuer and nothing else, it lives for at
most five minutes, and its ``jti`` is taken once. What is used once is marked in Valkey; without it, 503.

Keys are registered inline (``client_jwks``) or by address (``client_jwks_uri``), which is fetched by
security.outbound, kept for ``KEYS_SECONDS`` in each process, and asked again, at most once in
``RETRY_SECONDS``, for a key that it does not have.

RFC 7523 section 3, RFC 7521, FAPI 2.0 Security Profile section 5.3.2.1. ASVS 10.4.16.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.utils import timezone

from accounts.oauth.models import PRIVATE_KEY_JWT, Application
from accounts.oauth.signatures import InvalidSignature, SignedJWT, public_key
from security import outbound, throttling
from security.json_parser import MalformedBody, loads

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_SECONDS = 300
SKEW_SECONDS = 10
MAX_JTI_LENGTH = 256
MAX_KEYS = 16
KEYS_SECONDS = 600.0
RETRY_SECONDS = 30.0

logger = logging.getLogger(__name__)


class InvalidAssertion(Exception):  # noqa: N818  a state of the request
    """The client is not who it says."""


class ClientAssertion:
    """Verifies; finds the client by ``load``, which gives an Application or None for a client_id."""

    clock: ClassVar[Callable[[], datetime]] = timezone.now

    def __init__(self, text: str, kind: str) -> None:
        self.text = text
        self.kind = kind

    def authenticate(self, load: Callable[[str], Application | None]) -> Application:
        """The client. Raises InvalidAssertion, or LimiterUnavailable (503)."""
        now = int(type(self).clock().timestamp())
        try:
            if self.kind != TYPE:
                raise InvalidAssertion
            jwt = SignedJWT.read(self.text)
            # RFC 7523 section 2.2 has no typ; where one is, it must not be another kind of document's.
            if str(jwt.header.get("typ", "JWT")).lower() not in {"jwt", "client-authentication+jwt"}:
                raise InvalidAssertion
            client_id = jwt.text_claim("sub", 255)
            client = load(client_id)
            if client is None or client.token_endpoint_auth_method != PRIVATE_KEY_JWT:
                raise InvalidAssertion
            jwt.verify(_key(client, jwt))
            if jwt.claims.get("iss") != client_id or not _is_for_us(jwt.claims.get("aud")):
                raise InvalidAssertion
            expires, issued, begins = (jwt.time_claim(name) for name in ("exp", "iat", "nbf"))
            jti = jwt.text_claim("jti", MAX_JTI_LENGTH)
        except InvalidSignature:
            raise InvalidAssertion from None
        if expires is None or not now < expires <= now + MAX_SECONDS + SKEW_SECONDS:
            raise InvalidAssertion
        if any(moment is not None and moment > now + SKEW_SECONDS for moment in (issued, begins)):
            raise InvalidAssertion
        once = throttling.Once(f"assertion:{client_id}:{jti}", expires - now + 1)
        if throttling.check([], fail_closed=True, once=[once]).replayed:
            raise InvalidAssertion
        return client


class RemoteKeys:
    """The key sets of client_jwks_uri, remembered in this process."""

    clock: ClassVar[Callable[[], float]] = time.monotonic
    client: ClassVar[outbound.OutboundClient] = outbound.OutboundClient()

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, list[Any]]] = {}

    def of(self, uri: str, *, missed: bool) -> list[Any]:
        """The keys at ``uri``, fetched if old, or if the one looked for was ``missed`` there."""
        now = type(self).clock()
        with self._lock:
            fetched, keys = self._known.get(uri, (float("-inf"), []))
            lifetime = RETRY_SECONDS if missed or not keys else KEYS_SECONDS
            if now - fetched < lifetime:
                return keys
            self._known[uri] = (now, keys)  # so that others do not ask meanwhile, nor right after a failure
        try:
            keys = _keys_in(
                loads(type(self).client.get(uri, accept="application/jwk-set+json, application/json"))
            )
        except (outbound.Refused, MalformedBody) as error:
            logger.warning("client keys not fetched", extra={"error": str(error)})
            return keys
        with self._lock:
            self._known[uri] = (now, keys)
        return keys


remote_keys = RemoteKeys()


def _key(client: Application, jwt: SignedJWT) -> Any:
    """The client's key for this document. Raises InvalidSignature."""
    if client.client_jwks is not None:
        return _chosen(_keys_in(client.client_jwks), jwt)
    try:
        return _chosen(remote_keys.of(client.client_jwks_uri, missed=False), jwt)
    except InvalidSignature:
        return _chosen(remote_keys.of(client.client_jwks_uri, missed=True), jwt)


def _chosen(keys: list[Any], jwt: SignedJWT) -> Any:
    """By ``kid``; without one, the only key of the set."""
    if "kid" in jwt.header:
        keys = [key for key in keys if key.get("kid") == jwt.header["kid"]]
    if len(keys) != 1:
        raise InvalidSignature
    return public_key(keys[0], jwt.header["alg"])


def _keys_in(document: Any) -> list[Any]:
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        return []
    return [key for key in keys if isinstance(key, dict)]


def _is_for_us(audience: object) -> bool:
    """The issuer, as a string (FAPI 2.0) or alone in a list. An endpoint's URL is not it: see RFC 7523bis."""
    return audience in (settings.PUBLIC_URL, [settings.PUBLIC_URL])
