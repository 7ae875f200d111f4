"""``migrate`` as the owner of the tables; the API's own role could not, and should not."""

from typing import Any

from django.core.management.commands.migrate import Command as Migrate

from security.database_roles import owner


class Command(Migrate):
    help = f"{Migrate.help} Connects with DATABASE_OWNER_URL."

    def handle(self, *args: Any, **options: Any) -> None:
        with owner():
            super().handle(*args, **options)
