"""accounts.staff: who comes in, what it shows, and that it is not there at all."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.test import override_settings
from django.urls import get_resolver

from accounts import reauthentication, staff
from accounts.models import Membership
from accounts.oauth.models import Application
from security.models import AuditEvent
from security.policy import check_policy
from tests import factories
from tests.clients import Api, Page

pytestmark = pytest.mark.django_db

PAGES = [
    "/admin/",
    "/admin/accounts/user/",
    "/admin/accounts/organisation/",
    "/admin/accounts/membership/",
    "/admin/accounts/session/",
    "/admin/oauth/application/",
]


@pytest.fixture
def _admin():
    with override_settings(ROOT_URLCONF="tests.accounts.urls_with_admin"):
        yield


def visitor(user):
    page = Page()
    page.sign_in(user)
    return page


def act(page, action, *users):
    """Choose an action for the people selected in the list."""
    path = "/admin/accounts/user/"
    form = {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value, "action": action, "index": "0"}
    return page.post(path, {**form, "_selected_action": [user.pk for user in users]})


@pytest.fixture
def root(acme):
    return factories.enrol(factories.member("auditor", acme, is_staff=True, is_superuser=True))


def test_it_is_not_there_unless_it_is_switched_on(root):
    page = visitor(root)

    assert {page.get(path).status_code for path in PAGES} == {404}
    assert not [route for route in get_resolver().url_patterns if str(route.pattern).startswith("admin")]


@pytest.mark.usefixtures("_admin")
class TestSwitchedOn:
    def test_staff_with_a_second_factor_come_in(self, root):
        page = visitor(root)

        for path in PAGES:
            response = page.get(path)
            assert response.status_code == 200, path
            policy = response["Content-Security-Policy"]
            assert "script-src 'self'" in policy
            assert "unsafe" not in policy
            assert b"<script>" not in response.content
            assert b"style=" not in response.content

    @pytest.mark.asvs("1.1.2")
    def test_markup_in_a_name_is_text_here_and_as_it_was_in_the_api(self, root, acme):
        root.name = '<img src=x onerror="alert(1)">'
        root.save()
        page, api = visitor(root), Api(factories.token(factories.member("org_admin", acme), acme))

        text = page.get(f"/admin/accounts/user/{root.pk}/change/").content.decode()

        assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;" in text
        assert "<img src=x" not in text
        assert root.name in {member["name"] for member in api.get("/v1/members").json()["items"]}

    def test_others_learn_nothing(self, acme):
        page = visitor(factories.member("auditor", acme))

        assert page.get("/admin/login/").status_code == 404
        assert page.get("/admin/")["Location"].startswith("/admin/login/")

    def test_a_stranger_is_sent_to_sign_in_and_back(self):
        page = Page()
        response = page.get("/admin/accounts/user/", follow=True, secure=True)

        assert response.redirect_chain[-1][0].startswith("/sign-in?next=/admin/accounts/user/")

    def test_there_is_no_sign_in_form_of_its_own(self, root):
        page = Page()
        page.get("/sign-in")
        form = {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value}
        page.post("/admin/login/", {**form, "username": root.email, "password": factories.PASSWORD})

        assert page.get("/admin/").status_code == 302

    @pytest.mark.asvs("8.4.2")
    def test_an_authentication_of_a_while_ago_is_asked_for_again(self, root, monkeypatch):
        page = visitor(root)
        later = datetime.now(tz=UTC) + staff.RECENT + timedelta(seconds=1)
        monkeypatch.setattr(reauthentication, "clock", lambda: later)
        response = page.get("/admin/accounts/user/")
        response = page.get(response["Location"])

        assert response["Location"] == "/reauthenticate?next=%2Fadmin%2Faccounts%2Fuser%2F"

    @pytest.mark.asvs("6.3.3", "8.4.2")
    def test_a_session_without_a_second_factor_does_not_come_in(self, root):
        page = visitor(root)
        session = page.session
        session["amr"] = ["pwd"]
        session.save()

        assert page.get("/admin/").status_code == 302
        assert page.get("/admin/login/").status_code == 404

    def test_it_shows_no_secret(self, root, acme):
        page = visitor(root)
        client = factories.service_client(acme, root, secret="x" * 43)
        membership = Membership.objects.get(user=root)
        session = root.sessions.get()
        shown = b"".join(
            page.get(path).content
            for path in [
                *PAGES,
                f"/admin/accounts/user/{root.pk}/change/",
                f"/admin/accounts/membership/{membership.pk}/change/",
                f"/admin/accounts/session/{session.pk}/change/",
                f"/admin/oauth/application/{client.pk}/change/",
            ]
        ).decode()

        assert root.email in shown
        assert client.client_id in shown
        for secret in (root.password, client.client_secret, session.session_data, factories.TOTP_SECRET):
            assert secret not in shown

    def test_only_what_is_named_is_there(self, root):
        page = visitor(root)

        assert {model._meta.label for model in staff.site._registry} == {
            "accounts.User",
            "accounts.Organisation",
            "accounts.Membership",
            "accounts.Session",
            "oauth.Application",
        }
        assert page.get("/admin/mfa/authenticator/").status_code == 404
        assert page.get("/admin/oauth/accesstoken/").status_code == 404

    def test_deactivating_ends_the_sessions_and_is_audited(self, root, acme):
        victim = factories.member("auditor", acme)
        theirs, page = visitor(victim), visitor(root)
        path = f"/admin/accounts/user/{victim.pk}/change/"

        response = page.post(path, {**page.form(path), "name": "Alice"})

        assert response.status_code == 302
        victim.refresh_from_db()
        assert not victim.is_active
        assert theirs.get("/docs").status_code == 302
        event = AuditEvent.objects.get(event="staff:user:changed")
        assert (event.actor, event.target_id) == (root.public_id, victim.public_id)

    @pytest.mark.asvs("6.4.6")
    def test_nobody_sets_somebody_elses_password(self, root, acme):
        victim = factories.member("auditor", acme)
        page = visitor(root)
        change = f"/admin/accounts/user/{victim.pk}/change/"

        for path in ("password/", "password/change/"):
            assert page.get(f"/admin/accounts/user/{victim.pk}/{path}").status_code in {302, 404}
        assert "password" not in page.get(change).content.decode().split('id="content"')[1].lower()
        page.post(change, {**page.form(change), "name": "A", "is_active": "on", "password": "x" * 20})
        victim.refresh_from_db()
        assert victim.check_password(factories.PASSWORD)

        assert act(page, "send_reset_link", victim).status_code == 302
        (told,) = mail.outbox
        assert told.to == [victim.email]
        path = urlsplit(re.search(r"https://\S+/password-reset/\S+", told.body)[0]).path
        assert Page().get(path).status_code == 302  # to the form that only its reader has
        assert AuditEvent.objects.filter(event="staff:user:reset-link-sent").count() == 1

    @pytest.mark.asvs("7.4.5")
    def test_every_session_and_token_of_some_or_all_is_ended(self, root, acme):
        people = [factories.member("auditor", acme) for _ in range(3)]
        theirs = [visitor(person) for person in people]
        tokens = [factories.token(person, acme) for person in people]
        page = visitor(root)

        def alive():
            return [
                (theirs[n].get("/docs").status_code == 200, Api(tokens[n]).get("/v1/me").status_code == 200)
                for n in range(3)
            ]

        act(page, "end_access", people[0])
        assert alive() == [(False, False), (True, True), (True, True)]
        act(page, "end_access", *people[1:])
        assert alive() == [(False, False)] * 3
        assert AuditEvent.objects.filter(event="staff:user:access-ended").count() == 3
        assert people[0].is_active

    @pytest.mark.parametrize("action", ["send_reset_link", "end_access"])
    def test_who_is_no_superuser_has_no_such_action(self, acme, action):
        clerk = factories.enrol(factories.member("auditor", acme, is_staff=True))
        victim = factories.member("auditor", acme)
        theirs, page = visitor(victim), visitor(clerk)

        act(page, action, victim)

        assert theirs.get("/docs").status_code == 200
        assert mail.outbox == []

    @pytest.mark.parametrize("path", ["/admin/accounts/user/add/", "/admin/accounts/membership/add/"])
    def test_nobody_is_made_here(self, root, path):
        assert visitor(root).get(path).status_code == 403

    def test_nobody_changes_themselves(self, root):
        page = visitor(root)
        path = f"/admin/accounts/user/{root.pk}/change/"
        form = {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value}

        assert page.post(path, {**form, "name": "Me"}).status_code == 403

    def test_staff_who_are_no_superusers_change_nothing(self, acme):
        clerk = factories.enrol(factories.member("auditor", acme, is_staff=True))
        page = visitor(clerk)

        assert page.get("/admin/").status_code == 200
        assert page.get(f"/admin/accounts/user/{clerk.pk}/change/").status_code == 403

    def test_clients_are_only_seen(self, root, acme):
        client = factories.service_client(acme, root, secret="x" * 43)
        page = visitor(root)
        form = {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value}

        response = page.post(f"/admin/oauth/application/{client.pk}/change/", {**form, "name": "Mine"})

        assert response.status_code == 403
        assert Application.objects.get(pk=client.pk).name == client.name

    def test_every_route_of_it_is_exempt_by_name(self):
        assert check_policy() == []
