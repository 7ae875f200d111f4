"""Sign-in: password, then the second factor; or a passkey alone. The steps are django-allauth's.

Threat: guessing, enumeration, a fixed session, a page between the steps that lets somebody skip the rest.
Guarantee: every failure is one answer at one cost; a sign-in in progress is no session (there is no user in
it before the last step), has a new key from each step to the next, and ends with the password that it began
with; every guess is charged before it is judged (accounts.devices), and refused where Valkey is out of reach.

ASVS 6.3.1, 6.3.2, 6.3.3, 6.3.8, 7.2.4. OWASP API2:2023.
"""

from typing import Any, cast

from allauth.account.internal.decorators import login_stage_required
from allauth.account.internal.flows.login import perform_password_login
from allauth.account.internal.stagekit import clear_login
from allauth.account.models import Login
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import clear_totp_secret, get_totp_secret
from allauth.mfa.webauthn.internal import auth as webauthn
from allauth.mfa.webauthn.internal.flows import perform_passwordless_login, signup_authenticator
from django.contrib.auth import logout
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.decorators import method_decorator
from django.views.generic import View

from accounts import devices, events, mails, second_factor
from accounts.events import Event
from accounts.forms import AddPasskeyForm, CodeForm, EnrolForm, PasskeyForm, PasskeySignInForm, SignInForm
from accounts.models import User, address_as_kept
from accounts.redirects import next_url
from accounts.views import limit

#: In the state of a sign-in in progress: the person's password then, as Django's session hash has it.
BEGAN_WITH = "began_with"
CLEAR_SITE_DATA = '"cache", "storage"'


class SignInView(LoginView):
    """The password. Limited per address and per account. Without Valkey it refuses."""

    template_name = "accounts/sign_in.html"
    authentication_form = SignInForm

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        account = address_as_kept(request.POST.get("username", ""))
        refused = limit(request, *devices.password_limits(request, account), fail_closed=True)
        return refused or super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        user = form.get_user()
        target = self.get_success_url()
        start_afresh(self.request)
        login = begin(user, target)
        if not is_unchanged(login):
            return abandon(self.request)
        response = perform_password_login(self.request, {"email": user.email}, login)
        return finish_step(self.request, response, user)


class PasskeySignInView(View):
    """A passkey alone: unlocked by its owner, it is two factors. GET gives the script its challenge."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse(webauthn.begin_authentication(user=None))

    def post(self, request: HttpRequest) -> HttpResponse:
        refused = limit(request, devices.password_limits(request, "")[0], fail_closed=True)
        if refused is not None:
            return refused
        form = PasskeySignInForm(data=request.POST)
        if not form.is_valid():
            context = {"form": SignInForm(), "next": next_url(request, default=""), "passkey_failed": True}
            return render(request, SignInView.template_name, context)
        authenticator = form.cleaned_data["credential"]
        user = authenticator.user
        start_afresh(request)
        login = begin(user, next_url(request))
        if not is_unchanged(login):
            return abandon(request)
        response = perform_passwordless_login(request, authenticator, login)
        return finish_step(request, response, user)


class CodeView(AuthenticateView):
    """The second factor: a TOTP code, a recovery code or a passkey."""

    template_name = "accounts/code.html"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        user = self.stage.login.user
        refused = limit(request, *devices.code_limits(request, user), fail_closed=True)
        if refused is not None:
            return refused
        if not is_unchanged(self.stage.login):
            return abandon(request)
        response: HttpResponse = super().post(request, *args, **kwargs)
        if not self.form.is_valid():
            return response
        _tell_of_recovery_code(request, self.form, user)
        return finish_step(request, response, user)

    def get_form_class(self) -> Any:
        return CodeForm

    def get_webauthn_form_class(self) -> Any:
        return PasskeyForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        kinds = set(Authenticator.objects.filter(user=self.stage.login.user).values_list("type", flat=True))
        context = {"form": self.auth_form, "kinds": kinds, "email": self.stage.login.email}
        if second_factor.PASSKEY in kinds:
            context["options"] = webauthn.begin_authentication(self.stage.login.user)
            context["passkey_form"] = self.webauthn_form
        return context


@method_decorator(
    login_stage_required(stage=second_factor.EnrolStage.key, redirect_urlname="account_login"),
    name="dispatch",
)
class EnrolView(View):
    """The password was right, the role needs a second factor, and there is none: set one up, then go on."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._ask(request, EnrolForm(user=self._user, secret=get_totp_secret(regenerate=True)))

    def post(self, request: HttpRequest) -> HttpResponse:
        user = self._user
        refused = limit(request, *devices.code_limits(request, user), fail_closed=True)
        if refused is not None:
            return refused
        # Who has one by now shows that one: the password alone adds no other.
        if not is_unchanged(cast(Any, request)._login_stage.login) or second_factor.is_enrolled(user):
            return abandon(request)
        if "credential" in request.POST:
            return self._enrol_passkey(request, user)
        form = EnrolForm(user=user, secret=get_totp_secret(), data=request.POST)
        if not form.is_valid():
            return self._ask(request, form)
        second_factor.add_totp(user, form.secret, used=True)
        clear_totp_secret(request)
        return self._go_on(request, user, ["otp"])

    def _enrol_passkey(self, request: HttpRequest, user: Any) -> HttpResponse:
        form = AddPasskeyForm(user=user, data=request.POST)
        if not form.is_valid():
            again = EnrolForm(user=user, secret=get_totp_secret(regenerate=True))
            return self._ask(request, again, passkey_failed=True)
        added = signup_authenticator(
            request, user, form.cleaned_data["name"], form.cleaned_data["credential"]
        )
        return self._go_on(request, user, second_factor.passkey_methods(added.pk))

    def _go_on(self, request: HttpRequest, user: Any, methods: list[str]) -> HttpResponse:
        """Signed in, and the recovery codes are shown, this once, with the way on."""
        codes = second_factor.new_recovery_codes(user)
        stage = cast(Any, request)._login_stage
        response = finish_step(request, stage.exit(), user)
        if not request.user.is_authenticated:
            return response
        request.session["amr"] = ["pwd", *methods, "mfa"]
        events.record(request, user.email, Event.FACTOR_ADDED)
        mails.send(request, user.email, "factor_changed", what="A second factor was added")
        shown = render(
            request, "accounts/recovery_codes.html", {"codes": codes, "onward": response["Location"]}
        )
        shown.cookies.update(response.cookies)
        return shown

    def _ask(self, request: HttpRequest, form: EnrolForm, *, passkey_failed: bool = False) -> HttpResponse:
        context = {
            "form": form,
            "options": webauthn.begin_registration(self._user, passwordless=True),
            "passkey_failed": passkey_failed,
        }
        return render(request, "accounts/enrol.html", context)

    @property
    def _user(self) -> Any:
        return cast(Any, self.request)._login_stage.login.user


class SignOutView(LogoutView):
    """POST only, with the CSRF token."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return session_ended(super().post(request, *args, **kwargs))


def start_afresh(request: HttpRequest) -> None:
    """Whatever was before in this browser: another person, or a sign-in that was left half-way."""
    if request.user.is_authenticated:
        logout(request)
    clear_login(request)


def begin(user: Any, target: str) -> Login:
    """A sign-in that goes on to ``target``."""
    state = {BEGAN_WITH: user.get_session_auth_hash()}
    return Login(user=user, email=user.email, redirect_url=target, state=state)


def is_unchanged(login: Login) -> bool:
    """Whether its person is active and has the password that it began with. Locks them until it commits.

    So a new password, or a changed factor, at the same moment ends what this opens, or is seen by it.
    """
    user = (
        User.objects.select_for_update(no_key=True)
        .filter(pk=cast(Any, login.user).pk, is_active=True)
        .first()
    )
    return user is not None and constant_time_compare(
        user.get_session_auth_hash(), login.state.get(BEGAN_WITH, "")
    )


def finish_step(request: HttpRequest, response: HttpResponse, user: Any) -> HttpResponse:
    """A new key from step to step: who planted the one before is left behind. At the end, know the device."""
    request.session.cycle_key()
    if request.user.is_authenticated:
        devices.remember_device(request, response, user.email)
    return response


def session_ended(response: HttpResponse) -> HttpResponse:
    """Have the browser drop what it holds of the pages: what the back button would show, what scripts stored.

    Not the cookies: the session's is dropped with it, and the device's is to stay (accounts.devices).
    """
    response.headers["Clear-Site-Data"] = CLEAR_SITE_DATA
    return response


def abandon(request: HttpRequest) -> HttpResponse:
    """Start over, as somebody else."""
    clear_login(request)
    return HttpResponseRedirect(reverse("account_login"))


def signed_out(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/signed_out.html")


def _tell_of_recovery_code(request: HttpRequest, form: Any, user: Any) -> None:
    used = getattr(form, "authenticator", None)
    if used is not None and used.type == Authenticator.Type.RECOVERY_CODES:
        events.record(request, user.email, Event.RECOVERY_CODE_USED)
        mails.send(request, user.email, "recovery_code_used")


code = CodeView.as_view()
enrol = EnrolView.as_view()
