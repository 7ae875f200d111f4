"""django-allauth, told what this service does and does not do: its ACCOUNT_ADAPTER.

Sign-up is closed (only an invitation makes a user), redirects stay on this host, and the sign-in's steps are
the second factor and its enrolment. ASVS 6.3.4, 6.2.3.
"""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from accounts import reauthentication
from accounts.redirects import is_ours
from security.client_ip import client_address


class AccountAdapter(DefaultAccountAdapter):
    """ACCOUNT_ADAPTER."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_login_stages(self) -> list[str]:
        return ["allauth.mfa.stages.AuthenticateStage", "accounts.second_factor.EnrolStage"]

    def is_safe_url(self, url: str) -> bool:
        return is_ours(self.request, url)

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        return not reauthentication.is_recent(self.request)

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        return [{"id": "reauthenticate", "url": reverse("account_reauthenticate")}]

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_address(request)

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        """Like any other refusal: who is deactivated is nobody's business."""
        return HttpResponseRedirect(reverse("account_login"))

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """The pages say what happened."""

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """Ours are sent where the change is made (accounts.mails)."""
