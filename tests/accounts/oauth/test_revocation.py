"""accounts.oauth.revocation: what ends with a new password, a closed account, and a stronger role."""

import pytest

from accounts.models import Membership
from accounts.oauth.models import AccessToken, Grant, RefreshToken
from tests import factories
from tests.clients import Api, Flow, Page, post_form

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


# --- a role that is not to be had with a password alone ---


@pytest.fixture
def held(auditor):
    """Of a sign-in with a password alone: a flow, its tokens, and a code that is not redeemed yet."""
    page, client = Page(), factories.public_client()
    page.sign_in(auditor)
    flow = Flow(page, client, "account:read")
    tokens = flow.exchange(flow.code()).json()
    return flow, tokens, flow.code()


def refresh(flow, tokens):
    form = {"grant_type": "refresh_token", "client_id": flow.client.client_id}
    return post_form("/oauth/token", {**form, "refresh_token": tokens["refresh_token"]})


def test_what_a_password_alone_obtained_ends_with_a_role_that_needs_more(auditor, held):
    flow, tokens, code = held
    membership = Membership.objects.get(user=auditor)
    membership.role = "org_admin"

    membership.save()

    assert Api(tokens["access_token"]).get("/v1/me").status_code == 401
    assert refresh(flow, tokens).json() == {"error": "invalid_grant"}
    assert flow.exchange(code).json() == {"error": "invalid_grant"}


def test_nor_is_more_issued_where_the_role_changed_otherwise(auditor, held):
    flow, tokens, code = held
    Membership.objects.filter(user=auditor).update(role="org_admin")

    assert refresh(flow, tokens).json() == {"error": "invalid_grant"}
    assert flow.exchange(code).json() == {"error": "invalid_grant"}
    assert not RefreshToken.objects.filter(revoked=None).exists()
    assert not AccessToken.objects.exists()


def test_what_two_factors_obtained_stays(auditor, held):
    flow, tokens, code = held
    for model in (AccessToken, RefreshToken, Grant):
        model.objects.update(acr="aal2")
    membership = Membership.objects.get(user=auditor)
    membership.role = "org_admin"

    membership.save()

    assert Api(tokens["access_token"]).get("/v1/me").status_code == 200
    assert refresh(flow, tokens).status_code == 200
    assert flow.exchange(code).status_code == 200


def test_a_role_that_needs_no_more_ends_nothing(auditor, held):
    flow, tokens, _ = held
    membership = Membership.objects.get(user=auditor)
    membership.save()

    assert Api(tokens["access_token"]).get("/v1/me").status_code == 200
    assert refresh(flow, tokens).status_code == 200
