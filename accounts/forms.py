"""The sign-in form."""

from django.contrib.auth.forms import AuthenticationForm


class SignInForm(AuthenticationForm):
    """Django's form with one uniform refusal: an unknown address and a wrong password look the same.

    Django's ModelBackend hashes the password for unknown users as well, so both take the same work.
    """

    error_messages = {
        "invalid_login": "That e-mail address and password do not match an account.",
        "inactive": "That e-mail address and password do not match an account.",
    }
