"""The staff's site in a real browser: it works under the strict policy."""

import pytest
from playwright.sync_api import expect

from tests.live.service import Service
from tests.live.test_pages import picture, seed_on

ROOT = """
from accounts.models import User
User.objects.create_superuser("root@staff.example", "a long one for the staff", name="Root")
User.objects.create_user("somebody@staff.example", name="Somebody")
"""


@pytest.fixture(scope="module")
def live(live_database, tmp_path_factory):
    """A service of its own, with ADMIN on."""
    service = Service(tmp_path_factory.mktemp("admin"), {**live_database, "ADMIN": "on"})
    service.manage("migrate", "--verbosity=0")  # and no seeding: the demo's secrets are those of another key
    service.manage("shell", "--no-imports", "-c", ROOT)
    try:
        yield service.start()
    finally:
        service.stop()


def test_staff_enrol_come_in_change_somebody_and_leave(live, visitor):
    page = visitor.page
    visitor.goto("/admin/")
    visitor.password({"username": "root@staff.example", "password": "a long one for the staff"})
    page.locator("summary").click()
    visitor.code(seed_on(page))
    page.get_by_role("link", name="I have kept them").click()

    expect(page.get_by_role("heading", name="Staff")).to_be_visible()
    picture(page, "admin")
    page.get_by_role("link", name="Users").first.click()
    page.get_by_role("link", name="somebody@staff.example").click()
    expect(page.get_by_label("Name")).to_be_visible()
    picture(page, "admin-user")

    page.get_by_label("Name").fill("Somebody else")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("cell", name="Somebody else")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
