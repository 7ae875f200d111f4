"""security.quotas."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from security import quotas
from security.models import QuotaUse
from security.quotas import QuotaSpent, check_quotas, spend


@pytest.fixture(autouse=True)
def _quota(settings):
    settings.QUOTAS = {"reading": "3/86400"}


@pytest.fixture
def at(monkeypatch):
    """Spend at a moment, in hours from now."""
    start = timezone.now()

    def run(hours, holder):
        monkeypatch.setattr(quotas, "clock", lambda: start + timedelta(hours=hours))
        spend("reading", holder)

    return run


@pytest.mark.asvs("2.3.2")
@pytest.mark.django_db
def test_no_window_holds_more_than_the_quota(at):
    holder = uuid.uuid4()
    for hours in (0, 10, 20):
        at(hours, holder)
    for hours in (20, 23.99):
        with pytest.raises(QuotaSpent):
            at(hours, holder)

    at(24, holder)  # the first has left the window
    with pytest.raises(QuotaSpent) as refused:
        at(24, holder)
    assert refused.value.headers() == {"Retry-After": str(10 * 3600)}
    assert refused.value.extra() == {"violated-policies": ["reading"]}
    at(34, holder)


@pytest.mark.django_db
def test_each_person_has_their_own(at):
    one, other = uuid.uuid4(), uuid.uuid4()
    for _ in range(3):
        at(0, one)

    at(0, other)
    with pytest.raises(QuotaSpent):
        at(0, one)


@pytest.mark.django_db
def test_what_is_undone_is_not_counted(at):
    holder = uuid.uuid4()
    for _ in range(5):
        with transaction.atomic():
            at(0, holder)
            transaction.set_rollback(True)

    assert not QuotaUse.objects.exists()


@pytest.mark.django_db
def test_a_lowered_quota_waits_for_the_uses_there_are(at, settings):
    holder = uuid.uuid4()
    for hours in (0, 1, 2):
        at(hours, holder)
    settings.QUOTAS = {"reading": "1/86400"}

    with pytest.raises(QuotaSpent) as refused:
        at(3, holder)
    assert refused.value.headers() == {"Retry-After": str(23 * 3600)}


@pytest.mark.asvs("2.3.2")
@pytest.mark.django_db(transaction=True)
def test_of_parallel_uses_exactly_the_quota_succeeds(settings):
    settings.QUOTAS = {"reading": "7/86400"}
    holder, parallel = uuid.uuid4(), 10
    barrier = threading.Barrier(parallel)

    def use(_):
        try:
            barrier.wait()
            for _ in range(2):
                with transaction.atomic():
                    spend("reading", holder)
        except QuotaSpent:
            return
        finally:
            connection.close()

    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(use, range(parallel)))

    assert QuotaUse.objects.filter(holder=holder).count() == 7


@pytest.mark.parametrize("text", ["", "20", "0/60", "20/0", "lots", "20/60s"])
def test_what_is_no_quota_ends_start_up(settings, text):
    settings.QUOTAS = {"reading": text}

    assert [message.id for message in check_quotas()] == ["security.E038"]


def test_a_quota_is_taken(settings):
    settings.QUOTAS = {"reading": "20/86400"}

    assert check_quotas() == []
