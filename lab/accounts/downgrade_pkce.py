"""A link to the consent page asks for the plain PKCE method, so that the challenge in it is the verifier."""

from urllib.parse import parse_qsl, urlencode, urlsplit

from django.core.management.base import CommandError

from lab.accounts.flow import ask_for_tokens, authorize_path, signed_in, web_client
from lab.world import World

STORY = __doc__
LAYERS = ("challenge_of_request", "challenge_of_code")
SEEN = "x" * 43


def attack(world: World) -> bool:
    client, browser = web_client(world), signed_in(world, "auditor@acme")
    browser.authorize(client, "account:read")  # as it is meant to be
    asked = dict(parse_qsl(urlsplit(authorize_path(client, "account:read")).query))
    path = "/oauth/authorize?" + urlencode(
        {**asked, "code_challenge": SEEN, "code_challenge_method": "plain"}
    )
    try:
        _, location, _ = browser.send(path, {**browser.form(path), "decision": "allow"})
    except CommandError:
        return False
    code = dict(parse_qsl(urlsplit(location).query)).get("code", "")
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": SEEN}
    form["redirect_uri"] = client["redirect_uris"][0]
    return "access_token" in ask_for_tokens(browser, client, **form)
