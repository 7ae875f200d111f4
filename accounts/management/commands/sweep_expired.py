"""``manage.py sweep_expired``: removes the rows of sign-in and authorization that nothing needs any more."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import OperationalError, connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from oauth2_provider.models import get_device_grant_model

from accounts.models import Organisation, Session
from accounts.oauth.models import AccessToken, Grant, PushedRequest, RefreshToken
from security.models import StoredAnswer
from security.row_security import tenant

#: Rows in one statement and transaction: a sweep holds nobody up.
BATCH = 1_000


class Command(BaseCommand):
    help = "Deletes expired tokens, codes, sessions, stored answers; once, or with --every for ever."

    clock: ClassVar[Callable[[], datetime]] = timezone.now

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--every", type=int, metavar="SECONDS", help="go on, with this pause in between")

    def handle(self, *args: Any, **options: Any) -> None:
        while True:
            try:
                for name, rows in expired(type(self).clock()):
                    deleted = _delete(rows)
                    if deleted:
                        self.stdout.write(f"{name}: {deleted} deleted")
                deleted = sweep_answers(type(self).clock())
                if deleted:
                    self.stdout.write(f"stored answers: {deleted} deleted")
            except OperationalError as error:
                if not options["every"]:
                    raise
                self.stderr.write(f"The database is out of reach ({type(error).__name__}); next time.")
            if not options["every"]:
                return
            connection.close()
            time.sleep(options["every"])  # the schedule itself


def expired(now: datetime) -> list[tuple[str, QuerySet[Any]]]:
    """What may go, in this order. A spent token or code stays while a replay of it could end something."""
    idle = now - timedelta(seconds=settings.OAUTH2_PROVIDER["REFRESH_TOKEN_EXPIRE_SECONDS"])
    # An access token anchors the idle time of its refresh token, so it outlives itself by that.
    anchors = RefreshToken.objects.filter(access_token=OuterRef("pk"), revoked=None)
    family = RefreshToken.objects.filter(token_family=OuterRef("token_family"))
    return [
        ("refresh tokens", RefreshToken.objects.filter(family_expires_at__lt=now)),
        (
            "access tokens",
            AccessToken.objects.filter(Q(expires__lt=idle) | (Q(expires__lt=now) & ~Exists(anchors))),
        ),
        ("codes", Grant.objects.filter(Q(expires__lt=now) & ~Exists(family))),
        ("pushed requests", PushedRequest.objects.filter(expires__lt=now)),
        ("device grants", get_device_grant_model().objects.filter(expires__lt=now)),
        ("sessions", Session.objects.filter(expire_date__lt=now)),
    ]


def sweep_answers(now: datetime) -> int:
    """Of each organisation in turn: the database shows a tenant's rows to that tenant alone."""
    total = 0
    for organisation_id in Organisation.objects.values_list("pk", flat=True).order_by("pk"):
        deleted = 1
        while deleted:  # each batch in a transaction of its own
            with tenant(organisation_id):
                rows = StoredAnswer.objects.filter(organisation_id=organisation_id, expires_at__lt=now)
                deleted, _ = rows.filter(pk__in=list(rows.values_list("pk", flat=True)[:BATCH])).delete()
            total += deleted
    return total


def _delete(rows: QuerySet[Any]) -> int:
    total = 0
    while batch := list(rows.values_list("pk", flat=True)[:BATCH]):
        # The rows again: one may have come back to life since.
        deleted, _ = rows.filter(pk__in=batch).delete()
        total += deleted
        if not deleted:
            break
    return total
