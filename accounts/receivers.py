"""What a sign-in leaves behind: in the session, and in the audit trail."""

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts import events, second_factor, sessions
from security import audit
from security.client_ip import UNKNOWN, client_address

MAX_USER_AGENT = 200


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
        events.record(request, str(credentials.get("username", "")), audit.Event.SIGN_IN_FAILED)
