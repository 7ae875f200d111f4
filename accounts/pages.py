"""What the pages of sign-in and account share: outside the policy by declaration, 303 after a POST."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from csp.constants import SELF
from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_http_methods

from security.policy import exempt_from_policy

#: Of pages with a passkey button: the script from our own origin, and what it fetches there.
PASSKEY_CSP = {"script-src": [SELF], "connect-src": [SELF]}


def page(
    view: Callable[..., HttpResponseBase],
    *,
    reason: str,
    methods: tuple[str, ...] = ("GET", "HEAD", "POST"),
    passkeys: bool = False,
) -> Callable[..., HttpResponseBase]:
    """``view`` as a route: exempt from the policy for ``reason``, for ``methods`` only."""

    @wraps(view)
    def served(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        if request.method == "POST" and response.status_code == HTTPStatus.FOUND:
            response.status_code = HTTPStatus.SEE_OTHER  # nothing is to be sent again
        return response

    route: Callable[..., HttpResponseBase] = require_http_methods(list(methods))(served)
    if passkeys:
        route = csp_update(PASSKEY_CSP)(route)
    return exempt_from_policy(route, reason=reason)
