"""A real browser for the pages. It reports what a person would not see: console errors and CSP violations."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from accounts.management.commands.demo_token import TOTP_SECONDS, totp
from tests.live.service import Service

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SECONDS = 1000
#: For everything that a page does: a busy machine is not a broken page.
PATIENCE_SECONDS = 60
#: Runs before every page's own scripts.
WATCH_POLICY = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


@dataclass
class Visitor:
    """A browser window at the service, and what went wrong in it."""

    page: Page
    live: Service
    problems: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def goto(self, path: str) -> None:
        self.page.goto(self.live.base_url + path)

    def password(self, user: dict[str, Any]) -> None:
        self.page.fill("#id_username", user["username"])
        self.page.fill("#id_password", user["password"])
        self.page.get_by_role("button", name="Sign in", exact=True).click()

    def code(self, secret: str) -> None:
        """The code of this moment; after one that was spent, the next."""
        for _ in range(2):
            self.page.fill("#id_code", totp(secret, self.now()))
            with self.page.expect_navigation():
                self.page.get_by_role("button", name="Continue").click()
            if not self.page.locator("#id_code").count():
                return
            self.page.wait_for_timeout((TOTP_SECONDS - self.now() % TOTP_SECONDS) * SECONDS)

    def now(self) -> float:
        return self.page.evaluate("Date.now()") / SECONDS

    def has_passkeys(self) -> Any:
        """Give the browser an authenticator with a fingerprint sensor that always agrees."""
        devtools = self.page.context.new_cdp_session(self.page)
        devtools.send("WebAuthn.enable")
        devtools.send(
            "WebAuthn.addVirtualAuthenticator",
            {
                "options": {
                    "protocol": "ctap2",
                    "transport": "internal",
                    "hasResidentKey": True,
                    "hasUserVerification": True,
                    "isUserVerified": True,
                    "automaticPresenceSimulation": True,
                }
            },
        )
        return devtools


@pytest.fixture
def visitor(live: Service) -> Iterator[Visitor]:
    """Nothing may go wrong in its window, and nothing may be loaded from elsewhere."""
    if CHROMIUM is None:
        assert "REQUIRE_BROWSER" not in os.environ, "chromium is not installed"
        pytest.skip("chromium is not installed")  # a fresh machine has none; the gate sets REQUIRE_BROWSER
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's own does not run as root
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*sandbox, "--disable-background-networking"]
        )
        # The browser does not know the local authority; that the certificate is right, other tests check.
        context = browser.new_context(ignore_https_errors=True)
        context.add_init_script(WATCH_POLICY)
        visitor = Visitor(context.new_page(), live)
        visitor.page.set_default_timeout(PATIENCE_SECONDS * SECONDS)
        expect.set_options(timeout=PATIENCE_SECONDS * SECONDS)
        context.on(
            "console",
            lambda message: (
                visitor.problems.append(f"{message.text} {message.location['url']}")
                if message.type == "error"
                else None
            ),
        )
        context.on("weberror", lambda error: visitor.problems.append(str(error.error)))
        context.on("request", lambda request: visitor.hosts.add(request.url.split("/")[2]))
        yield visitor
        browser.close()
    assert visitor.problems == []
    assert visitor.hosts <= {f"localhost:{live.port}"}
