"""A closed account, a changed password: every session and token ends with it, whatever made the change."""

import pytest
from django.db import connection

from accounts.models import User
from accounts.oauth.models import AccessToken, Grant, RefreshToken
from tests import factories
from tests.clients import Api, Flow, Page, post_form
from tests.proofs import Key

pytestmark = pytest.mark.django_db

SCOPE = "account:read"
NEW = "another horse and no battery"


def by_save(user):
    user.set_password(NEW)
    user.save()


def by_save_of_some_fields(user):
    user.is_active = False
    user.save(update_fields=["is_active"])


def by_queryset(user):
    User.objects.filter(pk=user.pk).update(is_active=False)


def by_queryset_of_the_password(user):
    user.set_password(NEW)
    User.objects.filter(pk=user.pk).update(password=user.password)


def by_sql(user):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_user SET is_active = false WHERE id = %s", [user.pk])


ENDS = [by_save, by_save_of_some_fields, by_queryset, by_queryset_of_the_password, by_sql]


class Everything:
    """What acts for a person: a session, a code, an access and a refresh token, and both bound to a key."""

    def __init__(self, user):
        self.page, self.client, self.key = Page(), factories.public_client(), Key()
        self.page.sign_in(user)
        self.flow = Flow(self.page, self.client, SCOPE)
        self.bound = Flow(self.page, self.client, SCOPE)
        self.tokens = self.flow.exchange(self.flow.code()).json()
        self.bound_tokens = self.bound.exchange(self.bound.code(), self.key.at_token_endpoint()).json()
        self.pending = Flow(self.page, self.client, SCOPE)
        self.code = self.pending.code()

    def alive(self):
        bound = self.bound_tokens["access_token"]
        proof = self.key.headers("GET", "/v1/me", bound)
        return {
            "session": self.page.get("/docs").status_code == 200,
            "access": Api(self.tokens["access_token"]).get("/v1/me").status_code == 200,
            "bound": Api().get("/v1/me", **proof).status_code == 200,
        }

    def refresh(self):
        form = {"grant_type": "refresh_token", "client_id": self.client.client_id}
        return post_form("/oauth/token", {**form, "refresh_token": self.tokens["refresh_token"]})


@pytest.mark.asvs("7.4.2")
@pytest.mark.parametrize("end", ENDS)
def test_everything_ends_with_the_very_next_request(auditor, acme, end):
    mine = Everything(auditor)
    somebody = factories.member("auditor", acme)
    other = Everything(somebody)
    assert all(mine.alive().values())

    end(auditor)

    assert not any(mine.alive().values()), mine.alive()
    assert mine.refresh().json()["error"] == "invalid_grant"
    assert mine.pending.exchange(mine.code).json()["error"] == "invalid_grant"
    assert not AccessToken.objects.filter(user=auditor).exists()
    assert not RefreshToken.objects.filter(user=auditor, revoked=None).exists()
    assert not Grant.objects.filter(user=auditor).exists()
    assert all(other.alive().values())


@pytest.mark.parametrize("end", [by_save_of_some_fields, by_queryset, by_sql])
def test_nothing_comes_back_with_the_account(auditor, end):
    mine = Everything(auditor)
    end(auditor)

    User.objects.filter(pk=auditor.pk).update(is_active=True)

    assert not any(mine.alive().values()), mine.alive()


def test_a_replay_of_what_ended_is_refused_and_no_error(auditor):
    mine = Everything(auditor)
    by_save(auditor)

    assert [mine.refresh().status_code for _ in range(2)] == [400, 400]


@pytest.mark.parametrize(
    "change",
    [
        lambda user: user.save(),
        lambda user: User.objects.filter(pk=user.pk).update(name="Another name"),
        lambda user: user.save(update_fields=["name"]),
        lambda user: Page().sign_in(user),
    ],
)
def test_other_changes_end_nothing(auditor, change):
    mine = Everything(auditor)

    change(auditor)

    assert all(mine.alive().values()), mine.alive()


def test_a_service_client_ends_with_the_person_responsible(acme, auditor):
    client = factories.service_client(acme, auditor, secret="s" * 64)
    token = factories.token(None, acme, client=client)
    assert Api(token).get("/v1/audit-events").status_code == 403  # known; without the role

    by_queryset(auditor)

    assert Api(token).get("/v1/audit-events").status_code == 401
