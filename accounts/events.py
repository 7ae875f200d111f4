"""What happens to an account, in the audit trail of each of the person's organisations."""

from enum import StrEnum

from django.db.models import F
from django.http import HttpRequest

from accounts.models import Membership, User
from security import audit


class Event(StrEnum):
    """Tags in the grammar of security.audit.Event."""

    FACTOR_ADDED = "account:factor:added"
    FACTOR_REMOVED = "account:factor:removed"
    FACTOR_REFUSED = "account:factor:refused"
    FACTORS_RESET = "account:factor:reset"
    RECOVERY_CODES_MADE = "account:recovery-codes:made"
    RECOVERY_CODE_USED = "account:recovery-code:used"
    REAUTHENTICATED = "account:session:reauthenticated"
    REAUTHENTICATION_REFUSED = "account:session:reauthentication-refused"
    PASSWORD_CHANGED = "account:password:changed"  # noqa: S105  a tag
    PASSWORD_RESET_ASKED = "account:password:reset-asked"  # noqa: S105  a tag
    PASSWORD_RESET = "account:password:reset"  # noqa: S105  a tag
    EMAIL_CHANGE_ASKED = "account:email:change-asked"
    EMAIL_CHANGED = "account:email:changed"
    SIGN_IN_AFTER_FAILURES = "account:session:opened-after-failures"
    SESSION_REVOKED = "account:session:revoked"
    GRANT_NARROWED = "account:grant:narrowed"
    GRANT_REVOKED = "account:grant:revoked"


def record(request: HttpRequest, email: str, event: str) -> None:
    """One row in each organisation of the person's, so that each one's auditor sees it.

    Two statements for known and unknown addresses alike: their number must not tell them apart.
    """
    memberships = list(
        Membership.objects.filter(user__email=email.strip().lower()).values_list(
            "organisation_id", "user__public_id"
        )
    )
    audit.record(
        request,
        event,
        organisations=[organisation_id for organisation_id, _ in memberships],
        actor=memberships[0][1] if memberships else None,
    )


def count_failure(email: str) -> None:
    """One more refused password or code (accounts.receivers). One statement, for strangers as well."""
    User.objects.filter(email=email.strip().lower()).update(failed_sign_ins=F("failed_sign_ins") + 1)
