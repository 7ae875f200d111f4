"""A real browser, for what only one does."""

import os
import shutil

import pytest
from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SECONDS = 1000


@pytest.fixture
def browser_page(live):
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
        page = context.new_page()
        page.set_default_timeout(30 * SECONDS)
        yield page
        browser.close()
