"""``manage.py reset_second_factor``: lets somebody in again who has lost every second factor."""

from typing import Any

from allauth.mfa.models import Authenticator
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts import mails
from accounts.events import Event
from accounts.models import User
from security import audit
from security.models import AuditEvent

MIN_PROOF_LENGTH = 10


class Command(BaseCommand):
    help = (
        "Removes every second factor of a person whose identity was proved anew, ends their sessions and "
        "tokens, writes it to the audit trail and tells them by mail. The password stays, and a role that "
        "needs a second factor makes them set one up when they sign in."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="whose")
        parser.add_argument("--operator", required=True, help="who does this; goes to the audit trail")
        parser.add_argument(
            "--proof",
            required=True,
            help="how they proved who they are, as strongly as when they joined; goes to the audit trail",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        operator, proof = options["operator"].strip(), options["proof"].strip()
        if not operator or len(proof) < MIN_PROOF_LENGTH:
            raise CommandError("Say who you are and how the person proved who they are: it is recorded.")
        email = options["email"].strip().lower()
        with transaction.atomic():
            user = User.objects.select_for_update().filter(email=email).first()
            if user is None:
                raise CommandError("Nobody has this address.")
            factors = Authenticator.objects.filter(user_id=user.pk)
            if not factors.exists():
                raise CommandError("They have no second factor.")
            factors.delete()
            user.end_access()
            detail = {"operator": operator[:200], "proof": proof[:200]}
            organisations: list[int | None] = list(user.memberships.values_list("organisation_id", flat=True))
            audit.append(
                AuditEvent(
                    event=Event.FACTORS_RESET,
                    organisation_id=organisation_id,
                    target_type=user._meta.label_lower,
                    target_id=user.public_id,
                    detail=detail,
                )
                for organisation_id in organisations or [None]
            )
        mails.send(None, email, "factors_reset")
        self.stdout.write(
            "Done: every second factor, session and token of theirs is gone, and they are told."
        )
