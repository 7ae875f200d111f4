"""Swagger UI in a real browser: PKCE sign-in works, and nothing is loaded from elsewhere."""

import os
import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

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


def test_pkce_sign_in_and_a_call(live, browser_page):
    page, problems, hosts = browser_page, [], set()
    page.context.on(
        "console", lambda message: problems.append(message.text) if message.type == "error" else None
    )
    page.context.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    user = next(user for user in live.demo["users"] if user["role"] == "auditor")

    page.goto(f"{live.base_url}/docs")
    page.fill("#id_username", user["username"])
    page.fill("#id_password", user["password"])
    page.click("button[type=submit]")
    page.wait_for_url(f"{live.base_url}/docs")

    page.click("button.authorize")
    flow = page.locator(".auth-container", has_text="authorizationCode")
    flow.locator("label[for*='account:read']").first.click()
    with page.expect_popup() as popup:
        flow.locator("button.modal-btn.authorize").click()
    popup.value.click("button[value=allow]")
    expect(flow.get_by_role("heading", name="Authorized")).to_be_visible()
    page.locator("button.btn-done").first.click()

    operation = page.locator("#operations-me-me_retrieve")
    operation.locator("button.opblock-summary-control").click()
    operation.locator("button.try-out__btn").click()
    operation.locator("button.execute").click()
    answer = operation.locator(".live-responses-table tbody")
    expect(answer.locator("td.response-col_status").first).to_contain_text("200")
    expect(answer).to_contain_text("auditor")

    assert problems == []
    assert hosts == {f"localhost:{live.port}"}


def test_a_denied_consent_is_told(live, browser_page):
    page = browser_page
    user = live.demo["users"][0]
    page.goto(f"{live.base_url}/docs")
    page.fill("#id_username", user["username"])
    page.fill("#id_password", user["password"])
    page.click("button[type=submit]")
    page.click("button.authorize")
    flow = page.locator(".auth-container", has_text="authorizationCode")
    flow.locator("label[for*='account:read']").first.click()
    with page.expect_popup() as popup:
        flow.locator("button.modal-btn.authorize").click()
    popup.value.click("button[value=deny]")

    expect(flow.locator(".errors")).to_contain_text("access_denied")
