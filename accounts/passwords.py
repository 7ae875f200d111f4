"""The password policy: long, not one that everybody thinks of, and nothing else.

Threat: the few thousand passwords that are tried on every account first; rules of composition, which lead to
``Password1234!``; what everybody here would think of. Guarantee: 15 to 256 characters of any kind, compared
whole, against a list of more than 3,000 passwords that have the length (accounts.common_passwords), Django's
list of short ones, and the words of their surroundings: the person's name and address, their organisations,
and those of ``context_words.txt``.

Settings: AUTH_PASSWORD_VALIDATORS. ASVS 6.1.2, 6.2.1, 6.2.4, 6.2.5, 6.2.8, 6.2.9, 6.2.11, 6.2.12.
"""

import gzip
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import get_password_validators, validate_password
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ValidationError
from django.utils.module_loading import import_string

from accounts.common_passwords import FILE, normalise
from accounts.models import Organisation

MIN_ENTRIES = 3000
MIN_LENGTH = 15
#: Shorter parts of a name are in many words.
MIN_WORD_LENGTH = 4
CONTEXT_WORDS = Path(__file__).with_name("context_words.txt")
#: A character less than the least, and on no list.
TOO_SHORT = "q7#Vz!mK2pX9w&"


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


class ContextValidator:
    """What others here would try: no password contains ``words``, those of the file, or the person's own."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self.words = tuple(words)

    def validate(self, password: str, user: Any = None) -> None:
        text = normalise(password)
        names = [*self.words, *(_names(user) if user is not None else ())]
        for word in sorted(context_words() | {part for name in names for part in _parts(name)}):
            if word in text:
                raise ValidationError(
                    f"Leave out what others would guess here: {word}.", code="password_of_the_context"
                )

    def get_help_text(self) -> str:
        return "Without the names of this service, of your organisation and of yourself."


def context_words() -> frozenset[str]:
    """The lines of the file, without comments."""
    lines = CONTEXT_WORDS.read_text().splitlines()
    return frozenset(normalise(line) for line in lines if line.strip() and not line.startswith("#"))


def _names(user: Any) -> list[str]:
    """Of the person: their name, their address without its last label, the names of their organisations."""
    organisations: Iterable[str] = ()
    if user.pk is not None:
        organisations = Organisation.objects.filter(memberships__user_id=user.pk).values_list(
            "name", flat=True
        )
    return [user.name, user.email.rpartition(".")[0], *organisations]


def _parts(name: str) -> set[str]:
    """A name as a whole, and each part of it that is long enough to mean it."""
    parts = {normalise(part) for part in (name, *re.split(r"[^\w]+", name))}
    return {part for part in parts if len(part) >= MIN_WORD_LENGTH}


@cache
def common_long_passwords() -> frozenset[str]:
    return frozenset(gzip.decompress(FILE.read_bytes()).decode().splitlines())


def _validators() -> list[dict[str, Any]]:
    validators: Any = settings.AUTH_PASSWORD_VALIDATORS
    return list(validators)


@register(Tags.security)
def check_passwords(**kwargs: Any) -> list[CheckMessage]:
    """accounts.E001: a policy without our list, or a list too short; E002: it takes short passwords."""
    messages: list[CheckMessage] = []
    classes = [import_string(validator["NAME"]) for validator in _validators()]
    fitting = [entry for entry in common_long_passwords() if len(entry) >= MIN_LENGTH]
    if CommonLongPasswordValidator not in classes or len(fitting) < MIN_ENTRIES:
        messages.append(
            Error(
                "Passwords are not compared with the list of common long ones.",
                hint="Name accounts.passwords.CommonLongPasswordValidator in AUTH_PASSWORD_VALIDATORS, and "
                "make its list with python -m accounts.common_passwords.",
                id="accounts.E001",
            )
        )
    try:
        validate_password(TOO_SHORT, password_validators=get_password_validators(_validators()))
    except ValidationError:
        return messages
    return [
        *messages,
        Error(
            f"A password of {len(TOO_SHORT)} characters is taken.",
            hint="Name MinimumLengthValidator in AUTH_PASSWORD_VALIDATORS, with min_length 15 or more.",
            id="accounts.E002",
        ),
    ]
