"""What the scenarios of the authorization server share."""

import base64
import hashlib
import secrets
from typing import Any
from urllib.parse import urlencode


def authorize_path(client: dict[str, Any], scope: str) -> str:
    """An authorization request with PKCE."""
    digest = hashlib.sha256(secrets.token_urlsafe(48).encode()).digest()
    query = {
        "response_type": "code",
        "client_id": client["client_id"],
        "redirect_uri": client["redirect_uris"][0],
        "scope": scope,
        "state": secrets.token_urlsafe(16),
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    return f"/oauth/authorize?{urlencode(query)}"
