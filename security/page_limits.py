"""Page limits: the outer limit of everything that is not API.

Threat: the API's limits are part of its policy, and what is exempt from that (sign-in, the account's pages,
the OAuth endpoints, and whatever page a fork adds) has none, so that each is a lever for whoever has a
script. Guarantee: a request to any view outside the policy is counted by its address, by address and
client, and by address and account, before the view runs, and answered 429 beyond a quota, or 503 where the
cache is out of reach. Each count holds the address as well: nobody uses up somebody else's.
django-ratelimit counts in fixed windows, so an edge may admit twice the quota; where a number has to be
exact, as at sign-in, the view asks security.throttling.

Health and the error types are not counted: they tell nothing, and a probe must not depend on the cache.

Settings: PAGE_LIMITS (address, client, account → "quota/seconds"), CACHES. OWASP API4:2023, API2:2023.
ASVS 2.4.1, 6.3.1.
"""

import base64
import binascii
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import redis
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponseBase
from django_ratelimit.core import get_usage

from security.client_ip import client_address, throttle_key
from security.errors import DependencyUnavailable, TooManyRequests, render
from security.throttling import Decision, Rate, State

NAMES = ("address", "client", "account")
#: Views that are not counted, by the attribute that this module's decorator sets.
UNCOUNTED = "uncounted"
#: Fields in which an account is named by a form of ours.
ACCOUNT_FIELDS = ("username", "email")


class PageLimitMiddleware:
    """Inside the sessions and the CSRF check, which cost nothing that needs limiting."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        if not getattr(view, "policy_exemption", "") or getattr(view, UNCOUNTED, False):
            return None
        used_up = []
        try:
            for name, key in _keys(request):
                if (state := _usage(request, name, key)) is not None:
                    used_up.append(state)
        except redis.RedisError:
            return render(request, DependencyUnavailable())
        except SuspiciousOperation:  # a body that did not come, or is too long, names nobody
            if not used_up:
                raise
        if not used_up:
            return None
        decision = Decision(allowed=False, states=tuple(state for state, _ in used_up))
        response = render(request, TooManyRequests(decision))
        response.headers["Retry-After"] = str(max(seconds for _, seconds in used_up))
        return response


def uncounted(view: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a view that is never limited: it costs nothing and tells nothing."""
    setattr(view, UNCOUNTED, True)
    return view


def _keys(request: HttpRequest) -> Iterator[tuple[str, str]]:
    """(name of the limit, what is counted)."""
    address = throttle_key(client_address(request))
    yield "address", address
    client = request.GET.get("client_id") or request.POST.get("client_id") or _basic_client(request)
    if client:
        yield "client", f"{address} {client}"
    for field in ACCOUNT_FIELDS:
        if request.POST.get(field):
            # As Django's form of sign-in reads it: another spelling of the letters is no other account.
            account = unicodedata.normalize("NFKC", request.POST[field].strip()).strip().lower()
            yield "account", f"{address} {account}"


def _basic_client(request: HttpRequest) -> str:
    """The client of HTTP Basic credentials; empty without any."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        return ""


def _usage(request: HttpRequest, name: str, key: str) -> tuple[State, int] | None:
    """Count the request. None while there is room; then the state, and the seconds until the window ends."""
    quota, _, window = settings.PAGE_LIMITS[name].partition("/")
    usage = get_usage(
        request,
        group=f"page_{name}",
        key=lambda group, request: key,
        rate=(int(quota), int(window)),
        increment=True,
    )
    if usage is None or not usage["should_limit"]:
        return None
    if usage["time_left"] < 0:  # the library's word for a cache that did not answer
        raise redis.RedisError
    rate = Rate.parse(f"page_{name}", settings.PAGE_LIMITS[name])
    return State(rate, rate.span), max(1, usage["time_left"])


@register(Tags.security)
def check_page_limits(**kwargs: Any) -> list[CheckMessage]:
    """security.E037: a page limit is missing or is none."""
    messages: list[CheckMessage] = []
    for name in NAMES:
        try:
            Rate.parse(f"page_{name}", settings.PAGE_LIMITS.get(name, ""))
        except ValueError:
            messages.append(
                Error(
                    f"PAGE_LIMITS has no usable rate for {name!r}.",
                    hint='Give "<requests>/<seconds>", such as "600/60".',
                    id="security.E037",
                )
            )
    return messages
