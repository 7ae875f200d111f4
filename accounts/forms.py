"""The forms of the pages. A refusal says what is wrong with the input, and nothing of an account."""

import contextlib
from collections.abc import Iterator
from typing import Any, cast

from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn import forms as library
from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from rest_framework import serializers

from accounts import events, second_factor
from accounts.events import Event
from accounts.models import User
from accounts.passwords import ContextValidator
from security.strict_input import StrictCharField

WRONG_CODE = "That code is not right, or has been used. Codes change every 30 seconds."
WRONG_PASSKEY = "That passkey could not be used."
#: What the policy admits (accounts.passwords).
MAX_PASSWORD_LENGTH = 256


class SignInForm(AuthenticationForm):
    """Django's form with one uniform refusal: an unknown address and a wrong password look the same.

    Django's ModelBackend hashes the password for unknown users as well, so both take the same work.
    """

    error_messages = {
        "invalid_login": "That e-mail address and password do not match an account.",
        "inactive": "That e-mail address and password do not match an account.",
    }


class CodeForm(AuthenticateForm):
    """A TOTP code or a recovery code; either is spent by it. The view has charged the guess."""

    code = forms.CharField(max_length=32)

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        factors = Authenticator.objects.filter(user_id=self.user.pk).exclude(type=second_factor.PASSKEY)
        for factor in factors:
            is_totp = factor.type == second_factor.TOTP
            accept = second_factor.accept_totp if is_totp else second_factor.accept_recovery_code
            if accept(factor, code):
                factor.refresh_from_db()
                factor.user = self.user
                self.authenticator = factor
                return code
        events.count_failure(self.user.email)
        events.record(context.request, self.user.email, Event.FACTOR_REFUSED)
        raise ValidationError(WRONG_CODE)


class EnrolForm(forms.Form):
    """The first code of a new device, which proves that it has the seed."""

    code = forms.CharField(max_length=32)

    def __init__(self, *, user: Any, secret: str, **kwargs: Any) -> None:
        self.user, self.secret = user, secret
        super().__init__(**kwargs)

    @property
    def grouped_secret(self) -> str:
        """To be typed where no camera is at hand."""
        return " ".join(self.secret[start : start + 4] for start in range(0, len(self.secret), 4))

    @property
    def qr_code(self) -> str:
        """SVG, for the page itself: it comes from nowhere else, and has neither style nor script."""
        adapter = second_factor.SecondFactorAdapter()
        svg: str = adapter.build_totp_svg(adapter.build_totp_url(self.user, self.secret))
        return svg[svg.index("<svg") :]

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        if not second_factor.matches(self.secret, code):
            raise ValidationError(WRONG_CODE)
        return code


@contextlib.contextmanager
def refused_if_malformed() -> Iterator[None]:
    try:
        yield
    except (ValidationError, AttributeError, KeyError, TypeError, ValueError, IndexError):
        raise ValidationError(WRONG_PASSKEY) from None


class PasskeyForm(library.AuthenticateWebAuthnForm):
    """A passkey of a person who is known by now."""

    def clean_credential(self) -> Any:
        try:
            with refused_if_malformed():
                counter = second_factor.signature_counter(self.cleaned_data["credential"])
                authenticator = super().clean_credential()
            if not second_factor.accept_counter(authenticator, counter):
                raise ValidationError(WRONG_PASSKEY)
        except ValidationError:
            if self.user is not None:
                events.count_failure(self.user.email)
                events.record(context.request, self.user.email, Event.FACTOR_REFUSED)
            raise
        return authenticator


class PasskeySignInForm(PasskeyForm):
    """A passkey that says itself whose it is."""

    passwordless = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(user=None, **kwargs)

    def clean_credential(self) -> Any:
        authenticator = super().clean_credential()
        if not authenticator.user.is_active:
            raise ValidationError(WRONG_PASSKEY)
        return authenticator


class AddPasskeyForm(library.AddWebAuthnForm):
    """A new passkey. Always one that signs in alone: the key asks for its owner's PIN or finger."""

    name = forms.CharField(max_length=64, required=False)
    passwordless = forms.BooleanField(required=False, initial=True)

    def clean(self) -> Any:
        self.cleaned_data["passwordless"] = True
        with refused_if_malformed():
            return super().clean()


class ReauthenticationForm(forms.Form):
    """The password, and a code of those who have a second factor: what sign-in asks for."""

    password = forms.CharField(max_length=MAX_PASSWORD_LENGTH, strip=False)
    code = forms.CharField(max_length=32, required=False)

    def __init__(self, *, user: Any, **kwargs: Any) -> None:
        self.user = user
        self.needs_code = second_factor.is_enrolled(user)
        super().__init__(**kwargs)

    def clean(self) -> dict[str, Any]:
        """One refusal for both: a right password with a wrong code tells nothing of the password."""
        cleaned = super().clean() or {}
        right = self.user.check_password(cleaned.get("password", ""))
        if right and self.needs_code:
            code = CodeForm(user=self.user, data={"code": cleaned.get("code", "")})
            right = code.is_valid()
        if not right:
            events.record(context.request, self.user.email, Event.REAUTHENTICATION_REFUSED)
            raise ValidationError(
                "The password or the code is not right." if self.needs_code else "The password is not right."
            )
        return cleaned


class PasswordResetForm(forms.Form):
    """Whose password is to be reset. Any address is taken, and the page says the same of each."""

    email = forms.EmailField(max_length=254)


class EmailChangeForm(forms.Form):
    """The new address. Whether it belongs to somebody else's account is told to nobody."""

    email = forms.EmailField(max_length=254)

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        return email.strip().lower()


class JoinForm(forms.Form):
    """Name and password of a person who is invited and has no account yet."""

    name = forms.CharField(max_length=150)
    password = forms.CharField(max_length=MAX_PASSWORD_LENGTH, strip=False)

    def __init__(self, *args: Any, email: str, organisation: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.email, self.organisation = email, organisation

    def clean_name(self) -> str:
        """Shown to others, so held to what the API takes as text."""
        name: str = self.cleaned_data["name"]
        try:
            return str(StrictCharField(max_length=150).run_validation(name))
        except serializers.ValidationError as error:
            raise forms.ValidationError([str(fault) for fault in cast(list[Any], error.detail)]) from None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if "password" in cleaned:
            person = User(email=self.email, name=cleaned.get("name", ""))
            try:
                validate_password(cleaned["password"], user=person)
                ContextValidator([self.organisation]).validate(cleaned["password"])
            except forms.ValidationError as error:
                self.add_error("password", error)
        return cleaned

    def create_user(self) -> User:
        return User.objects.create_user(
            self.email, self.cleaned_data["password"], name=self.cleaned_data["name"]
        )
