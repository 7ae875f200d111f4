"""A passkey without a browser: what an authenticator answers to the pages' challenges."""

import copy
import hashlib
import json
import secrets
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from django.conf import settings
from fido2 import cbor
from fido2.cose import ES256
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import Aaguid, AttestedCredentialData, AuthenticatorData

RP_ID = hashlib.sha256(b"localhost").digest()
PRESENT_AND_VERIFIED = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.UV


class Passkey:
    """``counts``: of those that live in one device, and so count their signatures."""

    def __init__(self, *, counts: bool = True) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(16)
        self.counts, self.counter, self.handle = counts, 0, b""

    def clone(self) -> "Passkey":
        return copy.copy(self)

    def registration(self, options: dict[str, Any]) -> str:
        """The answer to ``navigator.credentials.create(options)``, as the page's form sends it."""
        self.handle = websafe_decode(options["publicKey"]["user"]["id"])
        public = ES256.from_cryptography_key(self.key.public_key())
        data = AttestedCredentialData.create(Aaguid.NONE, self.id, public)
        flags = PRESENT_AND_VERIFIED | AuthenticatorData.FLAG.AT
        auth_data = AuthenticatorData.create(RP_ID, flags, self._count(), data)
        attestation = cbor.encode({"fmt": "none", "attStmt": {}, "authData": bytes(auth_data)})
        client_data = self._client_data("webauthn.create", options)
        return self._credential(
            client_data, attestationObject=attestation, extensions={"credProps": {"rk": True}}
        )

    def assertion(self, options: dict[str, Any]) -> str:
        """The answer to ``navigator.credentials.get(options)``."""
        auth_data = bytes(AuthenticatorData.create(RP_ID, PRESENT_AND_VERIFIED, self._count()))
        client_data = self._client_data("webauthn.get", options)
        signature = self.key.sign(auth_data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256()))
        return self._credential(
            client_data, authenticatorData=auth_data, signature=signature, userHandle=self.handle
        )

    def _count(self) -> int:
        self.counter += self.counts
        return self.counter

    def _client_data(self, kind: str, options: dict[str, Any]) -> bytes:
        challenge = options["publicKey"]["challenge"]
        return json.dumps({"type": kind, "challenge": challenge, "origin": settings.PUBLIC_URL}).encode()

    def _credential(self, client_data: bytes, extensions: Any = None, **parts: bytes) -> str:
        name = websafe_encode(self.id)
        return json.dumps(
            {
                "id": name,
                "rawId": name,
                "type": "public-key",
                "response": {
                    "clientDataJSON": websafe_encode(client_data),
                    **{part: websafe_encode(value) for part, value in parts.items()},
                },
                "clientExtensionResults": extensions or {},
            }
        )
