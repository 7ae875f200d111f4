"""accounts.passwords and its list."""

import gzip

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from accounts import common_passwords, passwords
from accounts.passwords import (
    MIN_ENTRIES,
    MIN_LENGTH,
    CommonLongPasswordValidator,
    check_passwords,
    common_long_passwords,
)
from tests import factories


def test_the_list_has_more_than_three_thousand_that_the_policy_would_admit():
    fitting = [entry for entry in common_long_passwords() if len(entry) >= MIN_LENGTH]

    assert len(fitting) > 9000 > MIN_ENTRIES


@pytest.mark.asvs("6.2.4")
def test_every_entry_is_refused_in_whatever_case():
    validator = CommonLongPasswordValidator()
    for entry in common_long_passwords():
        with pytest.raises(ValidationError):
            validator.validate(entry.title())


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


@pytest.mark.asvs("6.2.5")
@pytest.mark.parametrize(
    "password",
    ["nine purple umbrellas walk", "kH7#qpL2vXw9.qz", "x1" * 10 + "quiver mango", "z" * 3 + "q" * 125],
)
def test_others_are_taken_whatever_they_are_made_of(password):
    validate_password(password)


@pytest.mark.asvs("6.2.1")
def test_fifteen_is_the_least_and_256_the_most():
    validate_password("kq3vz8mw1xy7rb2")
    validate_password("kq3v" * 64)
    for password in ("kq3vz8mw1xy7rb", "kq3v" * 64 + "k"):
        with pytest.raises(ValidationError):
            validate_password(password)


@pytest.mark.asvs("6.1.2")
def test_the_file_of_context_words_is_read(tmp_path, monkeypatch):
    validate_password("a drawbridge of iron")
    assert "portcullis" in passwords.context_words()
    (tmp_path / "words").write_text("# of a fork\n\nDraw Bridge\n")
    monkeypatch.setattr(passwords, "CONTEXT_WORDS", tmp_path / "words")

    with pytest.raises(ValidationError, match="drawbridge"):
        validate_password("a drawbridge of iron")


@pytest.mark.django_db
@pytest.mark.asvs("6.2.11")
@pytest.mark.parametrize(
    "password",
    [
        "my Port-Cullis is tall",
        "globex forever and ever",
        "Q7 and a zanzibar walk",
        "Zanz.Ibar sleeps late",
        "of mandalay and others",
        "hello from Elsewhere 9",
    ],
)
def test_the_words_of_its_surroundings_are_refused(password):
    user = factories.member("auditor", factories.organisation("Globex Trading"))
    user.email, user.name = "zanzibar@elsewhere.example", "Ann Mandalay"
    user.save()
    validate_password("purple umbrellas walk")

    with pytest.raises(ValidationError) as refusal:
        validate_password(password, user)

    assert "password_of_the_context" in {error.code for error in refusal.value.error_list}


def test_a_policy_without_the_list_does_not_start(settings):
    assert check_passwords() == []
    settings.AUTH_PASSWORD_VALIDATORS = [
        validator for validator in settings.AUTH_PASSWORD_VALIDATORS if "CommonLong" not in validator["NAME"]
    ]

    assert [error.id for error in check_passwords()] == ["accounts.E001"]


@pytest.mark.parametrize("length", [None, 8, 11])
def test_a_policy_of_short_passwords_does_not_start(settings, length):
    minimum, *others = settings.AUTH_PASSWORD_VALIDATORS
    shorter = [{**minimum, "OPTIONS": {"min_length": length}}] if length else []
    settings.AUTH_PASSWORD_VALIDATORS = [*shorter, *others]

    assert [error.id for error in check_passwords()] == ["accounts.E002"]
