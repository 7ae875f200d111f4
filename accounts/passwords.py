"""The password policy: long, not one that everybody thinks of, and nothing else.

Threat: the few thousand passwords that are tried on every account first; rules of composition, which lead to
``Password1234!``. Guarantee: 12 to 256 characters of any kind, compared whole, against a list of more than
3,000 passwords that have the length (accounts.common_passwords), Django's list of short ones, and the
person's own name and address.

Settings: AUTH_PASSWORD_VALIDATORS. ASVS 6.2.1, 6.2.4, 6.2.5, 6.2.8, 6.2.9, 6.2.12.
"""

import gzip
from functools import cache
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ValidationError
from django.utils.module_loading import import_string

from accounts.common_passwords import FILE, normalise

MIN_ENTRIES = 3000


class MaximumLengthValidator:
    """Longer ones cost time to hash. Refused, never cut."""

    def __init__(self, max_length: int = 256) -> None:
        self.max_length = max_length

    def validate(self, password: str, user: Any = None) -> None:
        if len(password) > self.max_length:
            raise ValidationError(f"Use at most {self.max_length} characters.", code="password_too_long")

    def get_help_text(self) -> str:
        return f"At most {self.max_length} characters."


class CommonLongPasswordValidator:
    """What is on the list of long passwords that everybody thinks of, whatever its case and separators."""

    def validate(self, password: str, user: Any = None) -> None:
        if normalise(password) in common_long_passwords():
            raise ValidationError(
                "This is among the passwords that are tried first.", code="password_too_common"
            )

    def get_help_text(self) -> str:
        return "Not one that others think of as well."


@cache
def common_long_passwords() -> frozenset[str]:
    return frozenset(gzip.decompress(FILE.read_bytes()).decode().splitlines())


def _validators() -> list[dict[str, Any]]:
    validators: Any = settings.AUTH_PASSWORD_VALIDATORS
    return list(validators)


@register(Tags.security)
def check_passwords(**kwargs: Any) -> list[CheckMessage]:
    """accounts.E001: a policy without our list, or a list that is too short to be one."""
    classes = [import_string(validator["NAME"]) for validator in _validators()]
    if CommonLongPasswordValidator in classes and len(common_long_passwords()) >= MIN_ENTRIES:
        return []
    return [
        Error(
            "Passwords are not compared with the list of common long ones.",
            hint="Name accounts.passwords.CommonLongPasswordValidator in AUTH_PASSWORD_VALIDATORS, and make "
            "its list with python -m accounts.common_passwords.",
            id="accounts.E001",
        )
    ]
