"""Re-authentication: the person shows again that it is they, with everything that they sign in with.

Threat: a session left open, or stolen, changes the factors, the password and the address, or agrees to a
release; a re-authentication that asks for less than sign-in does is the way around the second factor.
Guarantee: it asks for the password and, of those who have a second factor, a code as well, or for a passkey;
it moves ``auth_time`` and sets ``amr`` in the session, and gives the session a new key. ``require`` sends
there and back, to this host only, and does not send twice for the same URL.

Session keys: ``auth_time`` (ISO 8601), ``amr`` (RFC 8176). ASVS 7.5.1, 7.5.3, 6.3.4. RFC 9470; OpenID Connect
Core 1.0 section 3.1.2.1 (max_age, prompt=login).
"""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, cast
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts.models import User
from accounts.sessions import SessionStore

ASKED = "reauthentication_asked"
MAX_ASKED = 8
#: So long after it an authentication counts for what it was asked for, and for changes to the account.
RECENT = timedelta(minutes=5)

clock: Callable[[], datetime] = timezone.now


def auth_time(request: HttpRequest) -> datetime | None:
    """When the person last authenticated in this session."""
    return parse_datetime(request.session.get("auth_time", ""))


def is_recent(request: HttpRequest, *, within: timedelta = RECENT) -> bool:
    if not request.user.is_authenticated:
        return False
    authenticated = auth_time(request)
    return authenticated is not None and clock() - authenticated <= within


def require(request: HttpRequest, next_url: str, *, max_age: timedelta = timedelta(0)) -> HttpResponse | None:
    """Where to send the person first, or None: they have authenticated within ``max_age``, or since we asked.

    ``next_url`` is where they come back to: a path of ours. A ``max_age`` of zero is prompt=login. Somebody
    who comes back with the same ``next_url`` has done what was asked, for ``RECENT`` from then, however
    small ``max_age`` is: there is no loop.
    """
    if not request.user.is_authenticated:
        return redirect_to_login(next_url, login_url=settings.LOGIN_URL)
    if max_age and is_recent(request, within=max_age):
        return None
    name = hashlib.sha256(next_url.encode()).hexdigest()
    asked = request.session.get(ASKED, {})
    asked_at = parse_datetime(asked.get(name, ""))
    authenticated = auth_time(request)
    if asked_at and authenticated and authenticated >= asked_at and is_recent(request):
        return None
    asked.pop(name, None)  # to be the newest
    request.session[ASKED] = dict([*asked.items(), (name, clock().isoformat())][-MAX_ASKED:])
    return redirect_to(next_url)


def redirect_to(next_url: str) -> HttpResponse:
    return HttpResponseRedirect(f"{reverse('account_reauthenticate')}?{urlencode({'next': next_url})}")


def recent_authentication_required(view: Callable[..., Any]) -> Callable[..., Any]:
    """Of a page that changes the account. A POST comes back as a GET: its form is filled in anew.

    Changes of one account wait for each other, and each is judged when the one before is done: of the last
    two factors one stays, and a session that a new password or factor has ended changes nothing any more.
    """

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path(), login_url=settings.LOGIN_URL)
        if not is_recent(request):
            return redirect_to(request.get_full_path())
        if request.method == "POST":
            User.objects.select_for_update(no_key=True).get(pk=request.user.pk)
            if not cast(SessionStore, request.session).is_open():
                request.session.flush()
                return redirect_to_login(request.get_full_path(), login_url=settings.LOGIN_URL)
        return view(request, *args, **kwargs)

    return guarded


def remember(request: HttpRequest, methods: list[str]) -> None:
    """``methods`` have just been shown, all of them."""
    request.session["auth_time"] = clock().isoformat()
    request.session["amr"] = methods
    request.session.cycle_key()
