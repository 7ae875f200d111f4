"""The exact limit of views outside the policy."""

from django.http import HttpRequest, HttpResponse

from security import throttling
from security.errors import DependencyUnavailable, TooManyRequests, render


def limit(request: HttpRequest, *limits: tuple[str, str], fail_closed: bool) -> HttpResponse | None:
    """The refusal of a view outside DRF, or None. ``limits`` are (name of the rate, key)."""
    wanted = [throttling.Limit(throttling.get_rate(name), key) for name, key in limits]
    try:
        decision = throttling.check(wanted, fail_closed=fail_closed)
    except throttling.LimiterUnavailable as outage:
        return render(request, DependencyUnavailable(retry_after=outage.retry_after))
    return None if decision.allowed else render(request, TooManyRequests(decision))
