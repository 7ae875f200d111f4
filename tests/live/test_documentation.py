"""Swagger UI in a real browser: PKCE sign-in works, and nothing is loaded from elsewhere."""

import pytest
from playwright.sync_api import expect


def auditor(live):
    return next(user for user in live.demo["users"] if user["role"] == "auditor")


def authorize(page):
    """Swagger UI's own form, up to the consent page in its window."""
    page.click("button.authorize")
    flow = page.locator(".auth-container", has_text="authorizationCode")
    flow.locator("label[for*='account:read']").first.click()
    with page.expect_popup() as popup:
        flow.locator("button.modal-btn.authorize").click()
    return flow, popup.value


@pytest.mark.asvs("14.2.3")
def test_pkce_sign_in_and_a_call(live, visitor):
    page = visitor.page
    visitor.goto("/docs")
    visitor.password(auditor(live))
    page.wait_for_url(f"{live.base_url}/docs")

    flow, consent = authorize(page)
    consent.click("button[value=allow]")
    expect(flow.get_by_role("heading", name="Authorized")).to_be_visible()
    page.locator("button.btn-done").first.click()

    operation = page.locator("#operations-me-me_retrieve")
    operation.locator("button.opblock-summary-control").click()
    operation.locator("button.try-out__btn").click()
    operation.locator("button.execute").click()
    answer = operation.locator(".live-responses-table tbody")
    expect(answer.locator("td.response-col_status").first).to_contain_text("200")
    expect(answer).to_contain_text("auditor")


def test_a_denied_consent_is_told(live, visitor):
    visitor.goto("/docs")
    visitor.password(auditor(live))

    flow, consent = authorize(visitor.page)
    consent.click("button[value=deny]")

    expect(flow.locator(".errors")).to_contain_text("access_denied")


def test_a_person_signs_out(live, visitor):
    visitor.goto("/docs")
    visitor.password(auditor(live))

    visitor.page.get_by_role("button", name="Sign out").click()

    expect(visitor.page.get_by_role("heading", name="Signed out")).to_be_visible()
    visitor.goto("/docs")
    expect(visitor.page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
