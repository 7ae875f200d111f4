"""The hash of client secrets.

A client secret is generated with 128 random characters, so guessing it is hopeless and a slow hash buys
nothing: it would only let anyone burn a CPU by sending wrong secrets. ASVS 11.4.2 asks for a slow hash
where a person chose the secret; users' passwords have argon2id.
"""

import hashlib
import secrets
from typing import Any

from django.contrib.auth.hashers import BasePasswordHasher, mask_hash
from django.utils.crypto import constant_time_compare


class ClientSecretHasher(BasePasswordHasher):
    """Salted SHA-256: ``client_secret_sha256$salt$hex``."""

    algorithm = "client_secret_sha256"

    def salt(self) -> str:
        return secrets.token_urlsafe(16)

    def encode(self, password: str, salt: str) -> str:
        digest = hashlib.sha256(f"{salt}${password}".encode()).hexdigest()
        return f"{self.algorithm}${salt}${digest}"

    def decode(self, encoded: str) -> dict[str, Any]:
        algorithm, salt, digest = encoded.split("$", 2)
        return {"algorithm": algorithm, "salt": salt, "hash": digest}

    def verify(self, password: str, encoded: str) -> bool:
        return constant_time_compare(self.encode(password, self.decode(encoded)["salt"]), encoded)

    def must_update(self, encoded: str) -> bool:
        return False

    def harden_runtime(self, password: str, encoded: str) -> None:
        """Nothing to even out: the work is the same for every secret."""

    def safe_summary(self, encoded: str) -> Any:
        decoded = self.decode(encoded)
        return {"algorithm": decoded["algorithm"], "hash": mask_hash(decoded["hash"])}
