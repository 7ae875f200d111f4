"""The pages on which people look after their account: factors, recovery codes, password, address.

Threat: a session left open is made permanent, by a new factor, password or address; a reset link that is used
twice, sent to the attacker's host, or that comes past the second factor; a page that tells who has an
account. Guarantee: whatever changes how the person signs in needs an authentication of the last five minutes,
is mailed to them and audited; a new password asks for the one so far. A new password, by change or by reset,
ends every session and token, and signs nobody in; a changed factor ends all but the session that changed it.
Links carry PUBLIC_URL, end with their first use and within the hour, and are nowhere stored.

ASVS 6.2.2, 6.2.3, 6.3.7, 6.4.3, 6.4.4, 7.4.3, 7.5.1. OWASP API2:2023.
"""

from datetime import timedelta
from typing import Any, cast

from allauth.mfa.base.internal.flows import delete_and_cleanup
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import clear_totp_secret, get_totp_secret
from allauth.mfa.webauthn.internal import auth as webauthn
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.tokens import default_token_generator
from django.contrib.auth.views import PasswordResetConfirmView
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from accounts import devices, events, mails, reauthentication, second_factor
from accounts.events import Event
from accounts.forms import (
    AddPasskeyForm,
    EmailChangeForm,
    EnrolForm,
    PasskeyForm,
    PasswordResetForm,
    ReauthenticationForm,
)
from accounts.models import User
from accounts.oauth.grants import end, grants_of, narrow, scopes_of
from accounts.reauthentication import recent_authentication_required
from accounts.redirects import next_url
from accounts.sessions import SessionStore
from accounts.sign_in import session_ended
from accounts.views import limit
from security.client_ip import client_address, throttle_key
from security.identifiers import canonical_uuid
from security.scopes import all_scopes

EMAIL_SALT = "accounts.email"
LINK_LIFETIME = timedelta(hours=1)


# --- re-authentication ---


@login_required
def reauthenticate(request: HttpRequest) -> HttpResponse:
    """Everything that sign-in asks for, again (accounts.reauthentication)."""
    user = cast(User, request.user)
    form: Any = ReauthenticationForm(user=user)
    passkey_failed = False
    if request.method == "POST":
        limits = [*devices.password_limits(request, user.email), *devices.code_limits(request, user)]
        refused = limit(request, *limits, fail_closed=True)
        if refused is not None:
            return refused
        if "credential" in request.POST:
            form, methods = PasskeyForm(user=user, data=request.POST), []
            if form.is_valid():
                methods = [*second_factor.passkey_methods(form.cleaned_data["credential"].pk), "mfa"]
            passkey_failed = not methods
        else:
            form = ReauthenticationForm(user=user, data=request.POST)
            methods = ["pwd", "otp", "mfa"] if form.needs_code else ["pwd"]
        if form.is_valid():
            reauthentication.remember(request, methods)
            events.record(request, user.email, Event.REAUTHENTICATED)
            return HttpResponseRedirect(next_url(request, default=reverse("mfa_index")))
    if passkey_failed:
        form = ReauthenticationForm(user=user)
    kinds = _kinds(user)
    context = {
        "form": form,
        "next": next_url(request, default=""),
        "passkey_failed": passkey_failed,
        "options": webauthn.begin_authentication(user) if second_factor.PASSKEY in kinds else None,
    }
    return render(request, "accounts/reauthenticate.html", context)


# --- overview and factors ---


@login_required
def overview(request: HttpRequest) -> HttpResponse:
    user = cast(User, request.user)
    factors = list(Authenticator.objects.filter(user=user).order_by("created_at"))
    codes = next((f for f in factors if f.type == Authenticator.Type.RECOVERY_CODES), None)
    words = all_scopes()
    context = {
        "totp": next((f for f in factors if f.type == second_factor.TOTP), None),
        "passkeys": [f for f in factors if f.type == second_factor.PASSKEY],
        "codes_left": second_factor.recovery_codes_left(codes) if codes else 0,
        "is_required": second_factor.is_required(user),
        "sessions": user.sessions.order_by("-last_seen_at"),
        "this_session": cast(SessionStore, request.session).public_id,
        "grants": [
            (grant, [(scope, words.get(scope, scope)) for scope in scopes_of(grant)])
            for grant in grants_of(user)
        ],
    }
    return render(request, "accounts/overview.html", context)


@recent_authentication_required
def add_totp(request: HttpRequest) -> HttpResponse:
    user = cast(User, request.user)
    if second_factor.TOTP in _kinds(user):
        return HttpResponseRedirect(reverse("mfa_index"))
    if request.method != "POST":
        form = EnrolForm(user=user, secret=get_totp_secret(regenerate=True))
        return render(request, "accounts/add_totp.html", {"form": form})
    refused = limit(request, *devices.code_limits(request, user), fail_closed=True)
    if refused is not None:
        return refused
    form = EnrolForm(user=user, secret=get_totp_secret(), data=request.POST)
    if not form.is_valid():
        return render(request, "accounts/add_totp.html", {"form": form})
    second_factor.add_totp(user, form.secret, used=True)
    clear_totp_secret(request)
    return _factor_added(request, user, "An authenticator app was added")


@recent_authentication_required
def add_passkey(request: HttpRequest) -> HttpResponse:
    user = cast(User, request.user)
    failed = False
    if request.method == "POST":
        form = AddPasskeyForm(user=user, data=request.POST)
        if form.is_valid():
            webauthn.WebAuthn.add(user, form.cleaned_data["name"], form.cleaned_data["credential"])
            return _factor_added(request, user, "A passkey was added")
        failed = True
    context = {"options": webauthn.begin_registration(user, passwordless=True), "passkey_failed": failed}
    return render(request, "accounts/add_passkey.html", context)


@recent_authentication_required
def remove_factor(request: HttpRequest, pk: int) -> HttpResponse:
    user = cast(User, request.user)
    factor = Authenticator.objects.filter(user=user, type__in=second_factor.FACTORS, pk=pk).first()
    if factor is None:
        raise Http404
    allowed = second_factor.SecondFactorAdapter().can_delete_authenticator(factor)
    if request.method == "POST" and allowed:
        delete_and_cleanup(request, factor)
        _tell(request, user, Event.FACTOR_REMOVED, f"Removed: {factor}")
        return HttpResponseRedirect(reverse("mfa_index"))
    context = {"factor": factor, "allowed": allowed}
    return render(request, "accounts/remove_factor.html", context, status=200 if allowed else 409)


@recent_authentication_required
def recovery_codes(request: HttpRequest) -> HttpResponse:
    """New ones, shown this once; those before are void."""
    user = cast(User, request.user)
    if not second_factor.is_enrolled(user):
        return HttpResponseRedirect(reverse("mfa_index"))
    if request.method != "POST":
        return render(request, "accounts/new_recovery_codes.html")
    return _show_codes(request, user)


def _factor_added(request: HttpRequest, user: User, what: str) -> HttpResponse:
    _tell(request, user, Event.FACTOR_ADDED, what)
    if Authenticator.Type.RECOVERY_CODES in _kinds(user):
        return HttpResponseRedirect(reverse("mfa_index"))
    return _show_codes(request, user)


def _show_codes(request: HttpRequest, user: User) -> HttpResponse:
    codes = second_factor.new_recovery_codes(user)
    _tell(request, user, Event.RECOVERY_CODES_MADE, "New recovery codes were made")
    context = {"codes": codes, "onward": reverse("mfa_index")}
    return render(request, "accounts/recovery_codes.html", context)


def _kinds(user: User) -> set[str]:
    return set(Authenticator.objects.filter(user=user).values_list("type", flat=True))


def _tell(request: HttpRequest, user: User, event: Event, what: str) -> None:
    """Of a changed factor. Whoever was let in by the former ones has to come again, by an application too."""
    user.end_access(keep=cast(SessionStore, request.session).public_id)
    events.record(request, user.email, event)
    mails.send(request, user.email, "factor_changed", what=what)


@login_required
def end_session(request: HttpRequest) -> HttpResponse:
    """One of the person's own, or all but this one: by somebody who has just authenticated."""
    user = cast(User, request.user)
    if not reauthentication.is_recent(request):
        return reauthentication.redirect_to(reverse("mfa_index"))
    ours = cast(SessionStore, request.session).public_id
    sessions = user.sessions.exclude(public_id=ours)
    if "session" in request.POST:
        try:
            sessions = sessions.filter(public_id=request.POST["session"])
        except ValidationError:
            raise Http404 from None
    sessions.delete()
    events.record(request, user.email, Event.SESSION_REVOKED)
    return HttpResponseRedirect(reverse("mfa_index"))


@login_required
def change_grant(request: HttpRequest) -> HttpResponse:
    """Take one back, wholly or but for the scopes that the form keeps. The person's own."""
    user = cast(User, request.user)
    family = canonical_uuid(request.POST.get("grant", ""))
    # The person first, as a token request does: what is issued at the same moment ends as well.
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    grant = grants_of(user).select_for_update(of=("self",)).filter(token_family=family).first()
    if grant is None:
        raise Http404
    if narrow(grant, request.POST.getlist("scope")):
        events.record(request, user.email, Event.GRANT_NARROWED)
    else:
        end(grant)
        events.record(request, user.email, Event.GRANT_REVOKED)
    return HttpResponseRedirect(reverse("mfa_index"))


# --- the password ---


@recent_authentication_required
def change_password(request: HttpRequest) -> HttpResponse:
    """Asks for the one so far. Ends every session, this one as well: the new password is used at once."""
    user = cast(User, request.user)
    if request.method == "POST":
        refused = limit(request, *devices.password_limits(request, user.email), fail_closed=True)
        if refused is not None:
            return refused
    form = PasswordChangeForm(user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        events.record(request, user.email, Event.PASSWORD_CHANGED)
        mails.send(request, user.email, "password_changed")
        request.session.flush()
        return session_ended(HttpResponseRedirect(reverse("password-changed")))
    return render(request, "accounts/change_password.html", {"form": form})


def password_changed(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/password_changed.html")


def reset_password(request: HttpRequest) -> HttpResponse:
    """The same answer, statements and mail for every address; who has no account is told so by mail."""
    form = PasswordResetForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "accounts/reset_password.html", {"form": form})
    email = form.cleaned_data["email"].strip().lower()
    limits = [("reset_address", f"address:{throttle_key(client_address(request))}")]
    refused = limit(request, *limits, ("reset_account", f"account:{email}"), fail_closed=True)
    if refused is not None:
        return refused
    user = User.objects.filter(email=email, is_active=True).first()
    if user is not None:
        send_reset_link(request, user)
    else:
        mails.send(request, email, "password_reset_unknown")
    events.record(request, email, Event.PASSWORD_RESET_ASKED)
    return render(request, "accounts/reset_password_sent.html")


def send_reset_link(request: HttpRequest, user: User) -> None:
    path = reverse(
        "account_reset_password_from_key",
        kwargs={
            "uidb64": urlsafe_base64_encode(force_bytes(user.pk)),
            "token": default_token_generator.make_token(user),
        },
    )
    mails.send(request, user.email, "password_reset", link=settings.PUBLIC_URL + path)


class ResetPasswordView(PasswordResetConfirmView):
    """Where the link leads. It sets the password and signs nobody in: the second factor is asked as ever."""

    template_name = "accounts/change_password.html"
    post_reset_login = False

    def get_user(self, uidb64: str) -> Any:
        """Locked where the link is used: of two uses at once the second finds it ended."""
        user = super().get_user(uidb64)
        if user is None or self.request.method != "POST":
            return user
        return User.objects.select_for_update(no_key=True).get(pk=user.pk)

    def get_success_url(self) -> str:
        return reverse("password-changed")

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        email = form.user.email
        events.record(self.request, email, Event.PASSWORD_RESET)
        mails.send(self.request, email, "password_changed")
        # Where the person is signed in in this browser, its session has ended: it cannot be saved.
        self.request.session.flush()
        return session_ended(response)

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        if not context.get("validlink"):
            return render(self.request, "accounts/link_ended.html", status=400)
        return super().render_to_response(context, **kwargs)


# --- the address ---


@recent_authentication_required
def change_email(request: HttpRequest) -> HttpResponse:
    """Takes effect once the new address is confirmed. One of somebody else's gets no link, silently."""
    user = cast(User, request.user)
    form = EmailChangeForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "accounts/change_email.html", {"form": form})
    email = form.cleaned_data["email"]
    refused = limit(
        request, ("reset_account", f"account:{email}"), ("reset_account", f"by:{user.pk}"), fail_closed=True
    )
    if refused is not None:
        return refused
    token = signing.dumps({"user": user.pk, "from": user.email, "to": email}, salt=EMAIL_SALT)
    link = settings.PUBLIC_URL + reverse("confirm-email", kwargs={"token": token})
    taken = User.objects.filter(email=email).exists()
    mails.send(request, email, "email_taken" if taken else "email_confirm", link=link)
    mails.send(request, user.email, "email_change_asked")
    events.record(request, user.email, Event.EMAIL_CHANGE_ASKED)
    return render(request, "accounts/change_email_sent.html")


@recent_authentication_required
def confirm_email(request: HttpRequest, token: str) -> HttpResponse:
    """The person who asked, in a session of theirs, confirms: whoever reads the mail alone cannot."""
    user = cast(User, request.user)
    try:
        asked = signing.loads(token, salt=EMAIL_SALT, max_age=LINK_LIFETIME)
    except signing.BadSignature:
        asked = {}
    # The former address is part of it, so the link ends with the change.
    if (asked.get("user"), asked.get("from")) != (user.pk, user.email):
        return render(request, "accounts/link_ended.html", status=400)
    if request.method != "POST":
        return render(request, "accounts/confirm_email.html", {"email": asked["to"]})
    former, user.email = user.email, asked["to"]
    try:
        with transaction.atomic():
            user.save(update_fields=["email"])
    except IntegrityError:
        user.email = former
        return render(request, "accounts/link_ended.html", status=400)
    mails.send(request, former, "email_changed")
    events.record(request, user.email, Event.EMAIL_CHANGED)
    return HttpResponseRedirect(reverse("mfa_index"))
