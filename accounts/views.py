"""Sign-in and sign-out, and who the caller is."""

from http import HTTPStatus
from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.contrib.auth.views import LoginView, LogoutView
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.forms import SignInForm
from accounts.models import Membership
from accounts.serializers import AccountReader
from security import audit, throttling
from security.client_ip import client_address, throttle_key
from security.errors import DependencyUnavailable, TooManyRequests, render
from security.object_permissions import NoObjects
from security.policy import Allow, PolicyViewSet, Rule
from security.scopes import all_roles


class SignInView(LoginView):
    """Limited per address and per account. Without Valkey it refuses: guessing must never be unlimited."""

    template_name = "accounts/sign_in.html"
    authentication_form = SignInForm

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        account = request.POST.get("username", "").strip().lower()
        refused = limit(
            request,
            ("sign_in_address", f"address:{throttle_key(client_address(request))}"),
            ("sign_in_account", f"account:{account}"),
            fail_closed=True,
        )
        if refused is not None:
            return refused
        response = super().post(request, *args, **kwargs)
        if response.status_code == HTTPStatus.FOUND:
            response.status_code = HTTPStatus.SEE_OTHER  # after a POST: nothing is to be sent again
        return response

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        # Django keeps the session's id when the same person signs in again; each sign-in gets a new one.
        self.request.session.cycle_key()
        return response


class SignOutView(LogoutView):
    """POST only, with the CSRF token."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().post(request, *args, **kwargs)
        if response.status_code == HTTPStatus.FOUND:
            response.status_code = HTTPStatus.SEE_OTHER
        return response


def limit(request: HttpRequest, *limits: tuple[str, str], fail_closed: bool) -> HttpResponse | None:
    """The refusal of a view outside DRF, or None. ``limits`` are (name of the rate, key)."""
    wanted = [throttling.Limit(throttling.get_rate(name), key) for name, key in limits]
    try:
        decision = throttling.check(wanted, fail_closed=fail_closed)
    except throttling.LimiterUnavailable as outage:
        return render(request, DependencyUnavailable(retry_after=outage.retry_after))
    return None if decision.allowed else render(request, TooManyRequests(decision))


class AccountViewSet(PolicyViewSet):
    """Who am I, here?"""

    rules = {
        "retrieve": Rule(
            allow=(Allow("account:read", frozenset(all_roles())),),
            objects=NoObjects("the caller's own account, from the authentication statement"),
            throttle="read",
            response=AccountReader,
        )
    }

    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        return self.respond(self.access)


@receiver(user_logged_in)
def audit_sign_in(request: HttpRequest, user: Any, **kwargs: Any) -> None:
    _audit_session(request, audit.Event.SIGN_IN, user.email)


@receiver(user_logged_out)
def audit_sign_out(request: HttpRequest, user: Any, **kwargs: Any) -> None:
    if user is not None:
        _audit_session(request, audit.Event.SIGN_OUT, user.email)


@receiver(user_login_failed)
def audit_failed_sign_in(
    credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
) -> None:
    if request is not None:
        _audit_session(request, audit.Event.SIGN_IN_FAILED, str(credentials.get("username", "")))


def _audit_session(request: HttpRequest, event: audit.Event, email: str) -> None:
    """One row in each organisation of the user's, so that each one's auditor sees it.

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
