"""manage.py sweep_expired: what nothing needs goes, and what is needed to notice a replay stays."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone
from oauth2_provider.models import get_device_grant_model

from accounts.management.commands.sweep_expired import Command
from accounts.models import Session
from accounts.oauth.models import AccessToken, Grant, PushedRequest, RefreshToken
from security.models import StoredAnswer
from tests import factories
from tests.clients import Api, Flow, Page, post_form
from tests.visibility import row_security_in_force

pytestmark = pytest.mark.django_db

MODELS = (AccessToken, RefreshToken, Grant, PushedRequest, Session)


@pytest.fixture
def sweep(monkeypatch):
    """Sweep as if it were ``later``."""

    def run(**later):
        now = timezone.now() + timedelta(**later)
        monkeypatch.setattr(Command, "clock", lambda: now)
        out = StringIO()
        call_command("sweep_expired", stdout=out)
        return out.getvalue()

    return run


@pytest.fixture
def flow(auditor):
    page = Page()
    page.sign_in(auditor)
    return Flow(page, factories.public_client(), "account:read")


def refresh(flow, token):
    form = {"grant_type": "refresh_token", "client_id": flow.client.client_id, "refresh_token": token}
    return post_form("/oauth/token", form)


def counts():
    return [model.objects.count() for model in MODELS]


def test_what_is_alive_stays(flow, sweep):
    tokens = flow.exchange(flow.code()).json()
    Flow(flow.page, flow.client, "account:read").push()
    flow.code()
    before = counts()

    assert sweep() == ""
    assert counts() == before
    assert Api(tokens["access_token"]).get("/v1/me").status_code == 200


@pytest.mark.asvs("14.2.7")
def test_in_the_end_everything_goes(flow, sweep):
    tokens = flow.exchange(flow.code()).json()
    refresh(flow, tokens["refresh_token"])
    Flow(flow.page, flow.client, "account:read").push()
    flow.code()
    get_device_grant_model().objects.create(
        device_code="x", user_code="y", client_id="z", expires=timezone.now(), interval=5
    )

    said = sweep(days=30)

    assert counts() == [0] * len(MODELS)
    assert not get_device_grant_model().objects.exists()
    for kind in ("refresh tokens", "access tokens", "codes", "pushed requests", "device grants", "sessions"):
        assert kind in said


def test_codes_and_pushed_requests_go_first(flow, sweep):
    flow.code()
    Flow(flow.page, flow.client, "account:read").push()

    sweep(minutes=2)

    assert counts()[2:4] == [0, 0]


def test_a_spent_code_stays_while_its_tokens_live(flow, sweep):
    code = flow.code()
    tokens = flow.exchange(code).json()
    sweep(minutes=2)

    assert flow.exchange(code).json()["error"] == "invalid_grant"

    assert Api(tokens["access_token"]).get("/v1/me").status_code == 401


def test_a_used_refresh_token_stays_while_its_family_lives(flow, sweep):
    tokens = flow.exchange(flow.code()).json()
    fresh = refresh(flow, tokens["refresh_token"]).json()
    sweep(hours=12)

    assert refresh(flow, tokens["refresh_token"]).status_code == 400
    assert refresh(flow, fresh["refresh_token"]).status_code == 400  # the replay was noticed


def test_a_refresh_token_works_after_a_sweep(flow, sweep):
    tokens = flow.exchange(flow.code()).json()
    sweep(hours=12)

    assert refresh(flow, tokens["refresh_token"]).status_code == 200


def test_sessions_go_too(flow, sweep):
    assert Session.objects.exists()

    assert "sessions: 1 deleted" in sweep(hours=13)
    assert not Session.objects.exists()


def test_stored_answers_go_too(acme, sweep):
    now = timezone.now()
    for name, expires_at in (("old", now - timedelta(seconds=1)), ("new", now + timedelta(hours=1))):
        fields = {"organisation_id": acme.pk, "digest": name, "fingerprint": "", "body": "{}", "status": 201}
        StoredAnswer.objects.create(**fields, expires_at=expires_at)

    with row_security_in_force():
        assert "stored answers: 1 deleted" in sweep()
    assert [answer.digest for answer in StoredAnswer.objects.all()] == ["new"]


def test_it_costs_a_statement_or_two_for_each_kind(flow, sweep, django_assert_max_num_queries):
    for _ in range(5):
        flow.exchange(flow.code())

    with django_assert_max_num_queries(40):
        sweep(days=30)
