"""``manage.py rotate_keys``: encrypts under the first key what is under another (security.key_rotation)."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from security.database_roles import operators
from security.encryption import current_key_id
from security.key_rotation import BATCH_ROWS, Holding, count_stale, holdings, out_of_reach, rotate

#: Held while a rotation runs: a second one would only read what the first is about to replace.
LOCK = "SELECT pg_try_advisory_lock(hashtext('portcullis.rotate_keys'))"


class Command(BaseCommand):
    help = (
        "Encrypts what is not under the first of ENCRYPTION_KEYS, while the service runs. Interrupted or "
        "killed, it goes on where it was when it is run again. Connects with DATABASE_OPS_URL."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, default=BATCH_ROWS, metavar="ROWS", help="rows at a time")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["batch"] < 1:
            raise CommandError("--batch must be at least 1.")
        try:
            with operators():
                self._require_reach()
                self._lock()
                broken = sum(self._rotate(holding, options["batch"]) for holding in holdings())
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError(
                "Interrupted. Nothing is lost; run it again to go on.", returncode=130
            ) from None
        if broken:
            raise CommandError(
                f"{broken} values do not open under any key of ENCRYPTION_KEYS, and are as they were. "
                "Put the key that they name back."
            )
        self.stdout.write(f"Everything is under {current_key_id()}.")

    def _require_reach(self) -> None:
        if columns := ", ".join(map(str, out_of_reach())):
            raise CommandError(
                f"Out of reach of the role of DATABASE_OPS_URL: {columns}. Nothing was done, and no key may "
                "be dropped. Run `manage.py migrate` with DATABASE_OPS_URL set as well, then run this again."
            )

    def _lock(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(LOCK)
            if cursor.fetchone() != (True,):
                raise CommandError("A rotation is running already.")

    def _rotate(self, holding: Holding, batch_rows: int) -> int:
        """Until nothing is left, written meanwhile or not; how many values do not open."""
        done = broken = 0
        while (stale := count_stale(holding)) > broken:
            before, total = done, done + stale
            broken = 0
            for progress in rotate(holding, batch_rows=batch_rows):
                done, broken = before + progress.rotated, progress.broken
                self.stdout.write(f"{holding}: {done} of {total}")
                self.stdout.flush()
        return broken
