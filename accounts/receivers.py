"""What a sign-in leaves behind: in the session, and in the audit trail."""

from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts import events, mails, second_factor, sessions
from accounts.models import User
from security import audit
from security.client_ip import UNKNOWN, client_address

MAX_USER_AGENT = 200
#: So many refusals before a sign-in are told to the account's owner.
SUSPICIOUS_FAILURES = 3


@receiver(user_logged_in)
def remember_session(request: HttpRequest, user: Any, **kwargs: Any) -> None:
    """How the person authenticated, and what they will see of this session in the list of theirs."""
    now = timezone.now().isoformat()
    address = client_address(request)
    request.session["auth_time"] = now
    request.session["amr"] = second_factor.methods_of(request, user)
    request.session[sessions.ROW] = {
        "created_at": now,
        "address": None if address == UNKNOWN else address,
        "user_agent": request.headers.get("User-Agent", "").replace("\x00", "")[:MAX_USER_AGENT],
    }


@receiver(user_logged_in)
def tell_of_failures(request: HttpRequest, user: Any, **kwargs: Any) -> None:
    """Somebody tried, and then it worked: the owner should know, if it was not they."""
    failures = User.objects.values_list("failed_sign_ins", flat=True).get(pk=user.pk)
    if failures:
        User.objects.filter(pk=user.pk).update(failed_sign_ins=0)
    if failures >= SUSPICIOUS_FAILURES:
        events.record(request, user.email, events.Event.SIGN_IN_AFTER_FAILURES)
        mails.send(request, user.email, "sign_in_after_failures", failures=failures)


@receiver(user_logged_in)
def end_oldest_sessions(user: Any, **kwargs: Any) -> None:
    """Of more than SESSIONS_PER_PERSON the least lately used; this one's row is written with the answer."""
    kept = settings.SESSIONS_PER_PERSON - 1
    oldest = user.sessions.order_by("-last_seen_at").values_list("pk", flat=True)[kept:]
    user.sessions.filter(pk__in=list(oldest)).delete()


@receiver(user_logged_in)
def audit_sign_in(request: HttpRequest, user: Any, **kwargs: Any) -> None:
    events.record(request, user.email, audit.Event.SIGN_IN)


@receiver(user_logged_out)
def audit_sign_out(request: HttpRequest, user: Any, **kwargs: Any) -> None:
    if user is not None:
        events.record(request, user.email, audit.Event.SIGN_OUT)


@receiver(user_login_failed)
def audit_failed_sign_in(
    credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
) -> None:
    if request is not None:
        email = str(credentials.get("username", "")).replace("\x00", "")
        events.count_failure(email)
        events.record(request, email, audit.Event.SIGN_IN_FAILED)
