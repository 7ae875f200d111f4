"""What judges a request may break. Then the request is refused, and nothing of it is done."""

import pytest

from security import audit
from security.models import AuditEvent
from security.policy import PolicyViewSet
from tests.clients import PROBLEM
from tests.contract.walk import example, operations, perform

pytestmark = pytest.mark.broken

named = {"ids": lambda operation: operation.name}
writes = [operation for operation in operations() if operation.method != "GET"]


def fail(*args, **kwargs):
    raise RuntimeError("broken")


def row(target):
    """What is stored of it, or None."""
    return type(target).objects.filter(pk=target.pk).values().first() if target is not None else None


@pytest.mark.asvs("16.5.3")
@pytest.mark.parametrize("judge", ["_limit", "_permitted_ways"])
@pytest.mark.parametrize("operation", operations(), **named)
def test_without_a_judgement_nothing_is_done(operation, judge, us, monkeypatch):
    call = example(operation, us)
    before = row(call.target)
    monkeypatch.setattr(PolicyViewSet, judge, fail)

    response = perform(operation, us, call)

    assert response.status_code == 500
    assert response["Content-Type"] == PROBLEM
    assert row(call.target) == before


@pytest.mark.asvs("2.3.3", "16.5.3")
@pytest.mark.parametrize("operation", writes, **named)
def test_without_its_event_a_change_is_not_made(operation, us, monkeypatch):
    call = example(operation, us)
    before, events = row(call.target), AuditEvent.objects.count()
    monkeypatch.setattr(audit, "append", fail)

    response = perform(operation, us, call)

    assert response.status_code == 500
    assert row(call.target) == before
    assert AuditEvent.objects.count() == events
