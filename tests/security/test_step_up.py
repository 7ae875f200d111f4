"""security.step_up."""

from datetime import timedelta

import pytest
from django.utils import timezone

from security.errors import InsufficientAuthentication
from security.policy import declared_rules
from security.scopes import Access
from security.step_up import StepUp

NOW = timezone.now()
MINUTE = timedelta(minutes=1)


def access(**fields):
    rest = dict.fromkeys(Access.__annotations__.keys() - {"acr", "auth_time", "once"})
    return Access(**{**rest, **fields})


@pytest.fixture(autouse=True)
def _now(monkeypatch):
    monkeypatch.setattr(StepUp, "clock", lambda: NOW)


@pytest.mark.parametrize(
    ("step_up", "fields"),
    [
        (StepUp(max_age=5 * MINUTE), {"auth_time": NOW}),
        (StepUp(max_age=5 * MINUTE), {"auth_time": NOW - 5 * MINUTE}),
        (StepUp(max_age=5 * MINUTE, acr=("aal2", "phr")), {"auth_time": NOW, "acr": "phr"}),
    ],
)
def test_a_recent_and_strong_authentication_is_enough(step_up, fields):
    step_up.check(access(**fields))


@pytest.mark.asvs("7.5.3", "8.2.4", "10.3.4")
@pytest.mark.parametrize(
    ("step_up", "fields", "asked"),
    [
        (
            StepUp(max_age=5 * MINUTE),
            {"auth_time": NOW - 5 * MINUTE - timedelta(seconds=1)},
            {"max_age": "300"},
        ),
        (StepUp(max_age=5 * MINUTE), {"auth_time": None}, {"max_age": "300"}),
        (
            StepUp(max_age=5 * MINUTE, acr=("aal2", "phr")),
            {"auth_time": NOW, "acr": "aal1"},
            {"max_age": "300", "acr_values": "aal2 phr"},
        ),
        (StepUp(max_age=MINUTE, acr=("phr",)), {"auth_time": NOW}, {"max_age": "60", "acr_values": "phr"}),
    ],
)
def test_another_is_told_what_is_asked_for(step_up, fields, asked):
    with pytest.raises(InsufficientAuthentication) as refusal:
        step_up.check(access(**fields))

    assert refusal.value.status_code == 401
    assert refusal.value.challenge() == {"error": "insufficient_user_authentication", **asked}


def test_some_rule_has_one():
    """Nothing to protect, nothing shown: where the sample domain is, releasing money is protected."""
    from django.apps import apps

    if apps.is_installed("resources"):
        assert any(rule.step_up for rule in declared_rules())
