"""The authorization endpoint in a real browser: from a client elsewhere, through pages, and back."""

import pytest

from tests.live.test_pages import user_of

CLIENT = "https://client.example"
MADE = """
from accounts.oauth.models import Application
Application.objects.get_or_create(
    client_id="elsewhere",
    defaults={{
        "name": "A client elsewhere",
        "client_type": "public",
        "token_endpoint_auth_method": "none",
        "authorization_grant_type": "authorization-code",
        "redirect_uris": "{client}/callback",
        "scopes": ["account:read"],
    }},
)
"""
REQUEST = (
    "/oauth/authorize?response_type=code&client_id=elsewhere&scope=account:read&state=s"
    f"&redirect_uri={CLIENT}/callback&code_challenge={'x' * 43}&code_challenge_method=S256"
)


@pytest.fixture
def asked(live, visitor):
    """Opens the authorization request with ``more``; the client's pages are played."""
    live.manage("shell", "--no-imports", "-c", MADE.format(client=CLIENT))
    page = visitor.page
    page.route(f"{CLIENT}/**", lambda route: route.fulfill(body="back", content_type="text/html"))
    yield lambda more="": visitor.goto(REQUEST + more)
    visitor.hosts.discard("client.example")


@pytest.mark.parametrize(("button", "answer"), [("Allow", "code="), ("Deny", "error=access_denied")])
def test_the_decision_goes_back_to_the_client(live, visitor, asked, button, answer):
    asked()
    visitor.password(user_of(live, "auditor"))
    visitor.page.get_by_role("button", name=button).click()

    visitor.page.wait_for_url(f"{CLIENT}/callback?*")
    assert answer in visitor.page.url


@pytest.mark.parametrize("signed_in", [False, True])
def test_a_sign_in_that_is_too_weak_is_told_to_the_client(live, visitor, asked, signed_in):
    user = user_of(live, "auditor")
    if signed_in:
        visitor.goto("/sign-in?next=/account")
        visitor.password(user)
    asked("&acr_values=phr")
    if signed_in:
        visitor.page.fill("#id_password", user["password"])
        visitor.page.get_by_role("button", name="Continue").click()
    else:
        visitor.password(user)

    visitor.page.wait_for_url(f"{CLIENT}/callback?*")
    assert "error=unmet_authentication_requirements" in visitor.page.url
