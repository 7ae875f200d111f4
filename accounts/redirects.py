"""Where a page may send somebody on to: to this host by HTTPS, and nowhere else.

But for the authorization endpoint: it sends to clients, after a sign-in that was not what they ask for too.
Browsers hold that redirect against the policy of the page whose form began it, so that page is told where it
may lead.
"""

from django.conf import settings
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme

#: Session: origins of clients that a sign-in may lead back to.
LEADS_TO = "leads_to"
MAX_ORIGINS = 4


def may_lead_to(request: HttpRequest, origin: str) -> None:
    """``origin`` is that of a redirect URI of a valid authorization request."""
    others = [other for other in request.session.get(LEADS_TO, []) if other != origin]
    request.session[LEADS_TO] = [*others, origin][-MAX_ORIGINS:]


def origins(request: HttpRequest) -> list[str]:
    return list(request.session.get(LEADS_TO, []))


def is_ours(request: HttpRequest, url: str) -> bool:
    return url_has_allowed_host_and_scheme(url, allowed_hosts={request.get_host()}, require_https=True)


def next_url(request: HttpRequest, *, default: str | None = None) -> str:
    """The form's or the query's ``next`` if it is ours, else ``default`` or LOGIN_REDIRECT_URL."""
    url = request.POST.get("next", request.GET.get("next", ""))
    if url and is_ours(request, url):
        return url
    return default if default is not None else resolve_url(settings.LOGIN_REDIRECT_URL)
