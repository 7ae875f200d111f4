"""accounts.passwords and its list."""

import gzip

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from accounts import common_passwords
from accounts.passwords import MIN_ENTRIES, check_passwords, common_long_passwords


def test_the_list_has_more_than_three_thousand_that_the_policy_would_admit():
    fitting = [entry for entry in common_long_passwords() if len(entry) >= 12]

    assert len(fitting) > MIN_ENTRIES
    assert len(fitting) == len(common_long_passwords())


def test_the_list_is_what_its_module_makes():
    committed = gzip.decompress(common_passwords.FILE.read_bytes()).decode().splitlines()

    assert committed == common_passwords.entries()


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "PASSWORD123456",
        "Pass-Word-Pass-Word",
        "1qaz2wsx3edc4rfv",
        "aaaaaaaaaaaaaaaa",
        "123456789012",
        "May The Force Be With You",
        "summer2026!!",
        "iloveyouforever",
    ],
)
def test_what_everybody_thinks_of_is_refused(password):
    with pytest.raises(ValidationError):
        validate_password(password)


@pytest.mark.parametrize(
    "password",
    ["nine purple umbrellas walk", "kH7#qpL2vXw9", "x1" * 10 + "quiver mango", "z" * 3 + "q" * 125],
)
def test_others_are_taken_whatever_they_are_made_of(password):
    validate_password(password)


def test_twelve_is_the_least_and_256_the_most():
    validate_password("kq3vz8mw1xy7")
    validate_password("kq3v" * 64)
    for password in ("kq3vz8mw1xy", "kq3v" * 64 + "k"):
        with pytest.raises(ValidationError):
            validate_password(password)


def test_a_policy_without_the_list_does_not_start(settings):
    assert check_passwords() == []
    settings.AUTH_PASSWORD_VALIDATORS = [
        {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"}
    ]

    assert [error.id for error in check_passwords()] == ["accounts.E001"]
