"""Where a page may send somebody on to: to this host by HTTPS, and nowhere else."""

from django.conf import settings
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme


def is_ours(request: HttpRequest, url: str) -> bool:
    return url_has_allowed_host_and_scheme(url, allowed_hosts={request.get_host()}, require_https=True)


def next_url(request: HttpRequest, *, default: str | None = None) -> str:
    """The form's or the query's ``next`` if it is ours, else ``default`` or LOGIN_REDIRECT_URL."""
    url = request.POST.get("next", request.GET.get("next", ""))
    if url and is_ours(request, url):
        return url
    return default if default is not None else resolve_url(settings.LOGIN_REDIRECT_URL)
