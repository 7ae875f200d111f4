"""What the scenarios of the authorization server share."""

import base64
import hashlib
import json
import secrets
from typing import Any
from urllib.parse import urlencode

from accounts.management.commands.demo_token import Browser, DemoKey
from lab.world import World


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


def web_client(world: World) -> dict[str, Any]:
    """The demo's public client."""
    return next(client for client in world.demo["clients"] if client["client_id"] == "demo-web")


def signed_in(world: World, who: str) -> Browser:
    user, browser = world.user(who), Browser(world.base_url, world.ca_file)
    browser.sign_in(user["username"], user["password"], user["totp_secret"])
    return browser


def bound_token(world: World, who: str) -> tuple[str, DemoKey, str]:
    """A token of theirs that is bound to a key, the key, and a nonce."""
    client, browser, key = web_client(world), signed_in(world, who), DemoKey(world.base_url)
    code, verifier = browser.authorize(client, "account:read")
    token = browser.exchange(client, code, verifier, key)["access_token"]
    return token, key, browser.nonce


def ask_for_tokens(browser: Browser, client: dict[str, Any], **form: str) -> dict[str, Any]:
    """The token endpoint's answer, whatever it is."""
    _, _, body = browser.send("/oauth/token", {"client_id": client["client_id"], **form})
    answer: dict[str, Any] = json.loads(body)
    return answer
