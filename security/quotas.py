"""Quotas: so many in any such time, exactly.

Threat: something that is harmless once and a catastrophe a thousand times, such as reading an account number
in full. A bucket that refills lets through nearly twice its size within its first window, and its state is
gone with the cache. Guarantee: of what a quota counts, a person does at most so many in any window, whatever
client, organisation or token they use and however many of the requests are sent at once: uses are rows of
PostgreSQL, counted and added under a lock that lasts until the request's transaction ends. What is refused
or fails is not counted. A spent quota is 429, and Retry-After says when the oldest use leaves the window.

Settings: QUOTAS (name → "uses/seconds"; security.E038 otherwise). OWASP API4:2023, API6:2023. ASVS 2.3.2,
2.4.1.
"""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connection, transaction
from django.utils import timezone

from security.errors import TooManyRequests
from security.models import QuotaUse
from security.throttling import Rate

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"

clock: Callable[[], datetime] = timezone.now


class QuotaSpent(TooManyRequests):
    """Everything that the quota admits has been used."""

    default_detail = "The quota is spent. Retry-After says when one more is possible."

    def __init__(self, name: str, retry_after: int) -> None:
        super(TooManyRequests, self).__init__()
        self.name = name
        self.retry_after = retry_after

    def extra(self) -> dict[str, Any]:
        return {"violated-policies": [self.name]}

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


def spend(name: str, holder: UUID) -> None:
    """Count one use of ``holder``'s, in the current transaction. Raises QuotaSpent (429)."""
    rate = Rate.parse(name, settings.QUOTAS[name])
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(LOCK, [f"quota:{name}:{holder}"])
        now = clock()  # after the wait
        window = timedelta(seconds=rate.window)
        uses = QuotaUse.objects.filter(name=name, holder=holder)
        uses.filter(at__lte=now - window).delete()
        spent = list(uses.order_by("at").values_list("at", flat=True))
        if len(spent) >= rate.quota:
            free_at = spent[len(spent) - rate.quota] + window
            raise QuotaSpent(name, max(1, math.ceil((free_at - now).total_seconds())))
        QuotaUse.objects.create(name=name, holder=holder, at=now)


@register(Tags.security)
def check_quotas(**kwargs: Any) -> list[CheckMessage]:
    """security.E038: an entry of QUOTAS that is no quota."""
    messages: list[CheckMessage] = []
    for name, text in settings.QUOTAS.items():
        try:
            Rate.parse(name, text)
        except ValueError as error:
            messages.append(
                Error(
                    f"QUOTAS: {error}.", hint='Give "uses/seconds", such as "20/86400".', id="security.E038"
                )
            )
    return messages
