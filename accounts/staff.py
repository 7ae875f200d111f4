"""The staff's site: Django's admin, for staff with a second factor, lately authenticated; off by default.

Threat: the admin is one page away from everything, open to whoever guesses one password, and shows what is
stored: hashes, tokens, seeds. Guarantee: it has routes only where ADMIN is on; its visitors are active staff
whose session has a second factor and was authenticated in the last ``RECENT`` minutes, and its own sign-in
form does not exist; everybody else gets 404 or is sent to sign in. It shows the models and fields that are
named here and no other; users are made by invitation and memberships by the API. Each change is in the audit
trail.

Settings: ADMIN. ASVS 6.3.3, 7.5.3, 8.2.1, 14.2.6. OWASP API5:2023, API8:2023.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import wraps
from typing import Any

from csp.constants import SELF
from csp.decorators import csp_update
from django.conf import settings
from django.contrib.admin import AdminSite, ModelAdmin, action
from django.contrib.auth.views import redirect_to_login
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, reverse

from accounts import account, reauthentication
from accounts.models import Membership, Organisation, Session, User
from accounts.oauth.models import Application
from accounts.redirects import next_url
from accounts.sign_in import SignOutView
from security import audit
from security.policy import exempt_from_policy

RECENT = timedelta(minutes=15)
REASON = "the staff's site: a second factor and a recent authentication (accounts.staff)"


class StaffSite(AdminSite):
    """``urls`` is for the URLconf, where ADMIN is on."""

    site_title = site_header = "Portcullis"
    index_title = "Staff"
    site_url = None
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        return _may_enter(request) and reauthentication.is_recent(request, within=RECENT)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Not a form of its own: to sign-in, or to re-authentication; who is not staff learns nothing."""
        target = next_url(request, default=reverse(f"{self.name}:index"))
        if not request.user.is_authenticated:
            return redirect_to_login(target, login_url=settings.LOGIN_URL)
        if not _may_enter(request):
            raise Http404
        if self.has_permission(request):
            return HttpResponseRedirect(target)
        return reauthentication.redirect_to(target)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return SignOutView.as_view()(request)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return HttpResponseRedirect(reverse("account_change_password"))

    def password_change_done(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return HttpResponseRedirect(reverse("mfa_index"))

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:  # noqa: FBT001, FBT002  Django's signature
        """Its scripts are files from our own origin."""
        return csp_update({"script-src": [SELF]})(super().admin_view(view, cacheable))

    def get_urls(self) -> list[Any]:
        return _exempt(super().get_urls())


class StaffAdmin(ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    """What is not allowed below is not possible. ``fields`` is always said."""

    actions: Sequence[str] | None = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        model = obj._meta.model_name
        self._audit(request, f"staff:{model}:changed", obj)
        return super().log_change(request, obj, message)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        model = obj._meta.model_name
        self._audit(request, f"staff:{model}:deleted", obj)
        super().delete_model(request, obj)

    def _audit(self, request: HttpRequest, event: str, obj: Any) -> None:
        actor: Any = request.user
        audit.record(request, event, organisations=[], actor=actor.public_id, target=obj)


class UserAdmin(StaffAdmin):
    """Deactivating somebody ends every session and token at once; so does the action, which only ends."""

    fields = ("email", "name", "is_active", "is_staff", "is_superuser", "joined_at", "last_login")
    readonly_fields = ("email", "joined_at", "last_login")
    list_display = ("email", "name", "is_active", "is_staff")
    list_filter = ("is_active", "is_staff")
    search_fields = ("email", "name")
    actions = ("send_reset_link", "end_access")

    @action(permissions=("change",), description="Mail a link to set a new password")
    def send_reset_link(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Nobody sets somebody else's password: only they know it."""
        people = queryset.filter(is_active=True)
        for user in people:
            account.send_reset_link(request, user)
            self._audit(request, "staff:user:reset-link-sent", user)
        self.message_user(request, f"{len(people)} mailed.")

    @action(permissions=("change",), description="End every session and token")
    def end_access(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            user.end_access()
            self._audit(request, "staff:user:access-ended", user)
        self.message_user(request, f"Ended, of {len(queryset)}.")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes themselves, and who is no superuser changes none."""
        user: Any = request.user
        return bool(user.is_superuser) and (obj is None or obj.pk != user.pk)


class OrganisationAdmin(StaffAdmin):
    fields = list_display = ("name", "currency")
    search_fields = ("name",)


class MembershipAdmin(StaffAdmin):
    """Roles are given by an organisation's administrators: here they are only seen."""

    fields = list_display = ("user_email", "organisation", "role")
    list_filter = ("role",)
    list_select_related = ("user", "organisation")

    def user_email(self, membership: Membership) -> str:
        return membership.user.email


class SessionAdmin(StaffAdmin):
    """To see where somebody is signed in, and end it. Nothing here opens one."""

    fields = ("user_email", "address", "user_agent", "second_factor", "created_at", "last_seen_at")
    list_display = ("user_email", "address", "second_factor", "created_at", "last_seen_at")
    list_select_related = ("user",)

    def user_email(self, session: Session) -> str:
        return session.user.email if session.user else "-"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        user: Any = request.user
        return bool(user.is_superuser)


class ApplicationAdmin(StaffAdmin):
    fields = ("client_id", "name", "client_type", "profile", "redirect_uris", "scopes")
    list_display = ("client_id", "name", "client_type", "profile")


site = StaffSite(name="staff")
site.register(User, UserAdmin)
site.register(Organisation, OrganisationAdmin)
site.register(Membership, MembershipAdmin)
site.register(Session, SessionAdmin)
site.register(Application, ApplicationAdmin)


def _may_enter(request: HttpRequest) -> bool:
    user: Any = request.user
    return user.is_active and user.is_staff and "mfa" in request.session.get("amr", [])


def _exempt(patterns: Sequence[URLPattern | URLResolver]) -> list[URLPattern | URLResolver]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            _exempt(pattern.url_patterns)
        else:
            pattern.callback = exempt_from_policy(_function(pattern.callback), reason=REASON)
    return list(patterns)


def _function(view: Callable[..., Any]) -> Callable[..., Any]:
    """``view`` as something that takes a mark: the site's own methods do not."""

    @wraps(view)
    def served(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return view(request, *args, **kwargs)

    return served
