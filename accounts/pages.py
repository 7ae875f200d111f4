"""What the pages of sign-in and account share: outside the policy by declaration, 303 after a POST."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from csp.constants import SELF
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_http_methods

from accounts import redirects
from security.policy import exempt_from_policy

#: Of pages with a passkey button: the script from our own origin, and what it fetches there.
PASSKEY_CSP = {"script-src": [SELF], "connect-src": [SELF]}
# They are those that authenticate: after their forms may come an answer to a client (accounts.redirects).


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
        if passkeys:
            policy = {**PASSKEY_CSP, "form-action": [SELF, *redirects.origins(request)]}
            response._csp_update = policy  # type: ignore[attr-defined]  # django-csp's own way
        return response

    route: Callable[..., HttpResponseBase] = require_http_methods(list(methods))(served)
    route.methods = methods  # type: ignore[attr-defined]  # read by security.errors.csrf_failure
    return exempt_from_policy(route, reason=reason)
