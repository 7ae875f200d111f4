"""accounts.oauth.revocation: what a person holds ends with a new password, and with a closed account."""

import pytest

from tests import factories
from tests.clients import Api

pytestmark = pytest.mark.django_db


def new_password(user):
    user.set_password("another correct horse battery")
    user.save()


def closed_account(user):
    user.is_active = False
    user.save()


@pytest.mark.parametrize("change", [new_password, closed_account])
def test_every_token_of_the_persons_ends_at_once(acme, change):
    user, colleague = factories.member("auditor", acme), factories.member("auditor", acme)
    mine, theirs = Api(factories.token(user, acme)), Api(factories.token(colleague, acme))
    assert mine.get("/v1/me").status_code == 200

    change(user)
    if not user.is_active:
        user.is_active = True  # opened again: what was issued before stays dead
        user.save()

    assert mine.get("/v1/me").status_code == 401
    assert theirs.get("/v1/me").status_code == 200


def test_another_change_ends_nothing(acme):
    user = factories.member("auditor", acme)
    mine = Api(factories.token(user, acme))

    user.name = "Another name"
    user.save()

    assert mine.get("/v1/me").status_code == 200
