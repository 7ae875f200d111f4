"""``migrate`` as the owner of the tables; the API's own role could not, and should not.

With DATABASE_OPS_URL it also opens to the ops role what earlier runs without it have not.
"""

from typing import Any

from django.conf import settings
from django.core.management.commands.migrate import Command as Migrate

from security.database_roles import owner
from security.key_rotation import bring_into_reach


class Command(Migrate):
    help = f"{Migrate.help} Connects with DATABASE_OWNER_URL."

    def handle(self, *args: Any, **options: Any) -> None:
        with owner():
            super().handle(*args, **options)
            if settings.DATABASE_OPS and not (options["plan"] or options["check_unapplied"]):
                bring_into_reach()
