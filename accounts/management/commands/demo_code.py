"""``manage.py demo_code``: what the authenticator app of a demo user would show now."""

import json
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.management.commands.demo_token import TOTP_SECONDS, totp


class Command(BaseCommand):
    help = "Prints the code of a demo user's second factor. Refused unless DEMO is on."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", required=True, help="such as approver@acme.example")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("DEMO is off: this command knows the demo's seeds only.")
        try:
            demo = json.loads(settings.DEMO_FILE.read_text())
        except OSError:
            raise CommandError("There is no demo yet: start it with `make run`.") from None
        seeds = {user["username"]: user["totp_secret"] for user in demo["users"] if user["totp_secret"]}
        if options["user"] not in seeds:
            raise CommandError(f"These have a second factor: {', '.join(seeds)}.")
        now = time.time()
        self.stdout.write(totp(seeds[options["user"]], now))
        self.stderr.write(f"good for {TOTP_SECONDS - int(now) % TOTP_SECONDS} seconds, and once")
