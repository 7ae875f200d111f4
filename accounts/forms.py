"""The forms of the pages: sign-in, and joining by invitation."""

from typing import Any, cast

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.password_validation import validate_password
from rest_framework import serializers

from accounts.models import User
from security.strict_input import StrictCharField


class SignInForm(AuthenticationForm):
    """Django's form with one uniform refusal: an unknown address and a wrong password look the same.

    Django's ModelBackend hashes the password for unknown users as well, so both take the same work.
    """

    error_messages = {
        "invalid_login": "That e-mail address and password do not match an account.",
        "inactive": "That e-mail address and password do not match an account.",
    }


class JoinForm(forms.Form):
    """Name and password of a person who is invited and has no account yet."""

    name = forms.CharField(max_length=150)
    password = forms.CharField(max_length=128, strip=False)

    def __init__(self, *args: Any, email: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.email = email

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
            except forms.ValidationError as error:
                self.add_error("password", error)
        return cleaned

    def create_user(self) -> User:
        return User.objects.create_user(
            self.email, self.cleaned_data["password"], name=self.cleaned_data["name"]
        )
