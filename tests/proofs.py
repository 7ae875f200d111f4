"""Keys for tests, and good DPoP proofs and client assertions made with them, unless told otherwise."""

import base64
import hashlib
import json
import secrets
import time
from typing import Any

from django.conf import settings
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

from accounts.oauth.client_assertions import TYPE
from accounts.oauth.dpop import new_nonce

KINDS = {
    "ES256": {"kty": "EC", "crv": "P-256"},
    "PS256": {"kty": "RSA", "size": 2048},
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Key:
    """A client's key pair."""

    def __init__(self, alg: str = "ES256", kid: str | None = None, **kind: Any) -> None:
        self.alg = alg
        self.kid = kid or secrets.token_hex(4)
        self.jwk = JWK(**kind) if "k" in kind else JWK.generate(**(kind or KINDS[alg]))

    @property
    def public(self) -> dict[str, Any]:
        return self.jwk.export_public(as_dict=True)

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [{**self.public, "kid": self.kid, "use": "sig", "alg": self.alg}]}

    @property
    def jkt(self) -> str:
        return self.jwk.thumbprint()

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """Those with the value None are left out."""
        header = {name: value for name, value in header.items() if value is not None}
        claims = {name: value for name, value in claims.items() if value is not None}
        document = JWS(json.dumps(claims))
        document.allowed_algs = [header["alg"]]
        document.add_signature(self.jwk, alg=header["alg"], protected=json.dumps(header))
        return document.serialize(compact=True)

    def proof(
        self, method: str, path: str, token: str | None = None, *, header: Any = None, **claims: Any
    ) -> str:
        return self.sign(
            {"typ": "dpop+jwt", "alg": self.alg, "jwk": self.public, **(header or {})},
            {
                "jti": secrets.token_urlsafe(12),
                "htm": method,
                "htu": settings.PUBLIC_URL + path,
                "iat": int(time.time()),
                "nonce": new_nonce(),
                "ath": b64(hashlib.sha256(token.encode()).digest()) if token else None,
                **claims,
            },
        )

    def at_token_endpoint(self, path: str = "/oauth/token", **changes: Any) -> dict[str, str]:
        """The header, for ``post_form``."""
        return {"HTTP_DPOP": self.proof("POST", path, **changes)}

    def headers(self, method: str, path: str, token: str, **changes: Any) -> dict[str, str]:
        """Of an API call."""
        return {
            "HTTP_AUTHORIZATION": f"DPoP {token}",
            "HTTP_DPOP": self.proof(method, path, token, **changes),
        }

    def assertion(self, client_id: str, *, header: Any = None, **claims: Any) -> dict[str, str]:
        """The form's fields."""
        now = int(time.time())
        text = self.sign(
            {"alg": self.alg, "kid": self.kid, **(header or {})},
            {
                "iss": client_id,
                "sub": client_id,
                "aud": settings.PUBLIC_URL,
                "jti": secrets.token_urlsafe(12),
                "iat": now,
                "exp": now + 60,
                **claims,
            },
        )
        return {"client_assertion": text, "client_assertion_type": TYPE}


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = [b64(json.dumps(part).encode()) for part in (header, claims)]
    return ".".join([*parts, b64(signature)])


def parts(jwt: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims."""
    header, claims, _ = jwt.split(".")
    return tuple(json.loads(base64.urlsafe_b64decode(p + "=" * (-len(p) % 4))) for p in (header, claims))  # type: ignore[return-value]  # two of them
