"""security.keyring."""

import secrets

import pytest

from security import keyring

OLD, NEW = "o-" + secrets.token_urlsafe(32), "n-" + secrets.token_urlsafe(32)


def test_the_first_key_signs_and_all_verify(settings):
    settings.SIGNING_KEYS = [OLD]
    before = keyring.sign("test", b"message")

    settings.SIGNING_KEYS = [NEW, OLD]
    assert keyring.is_signed("test", b"message", before)
    after = keyring.sign("test", b"message")
    assert after != before

    settings.SIGNING_KEYS = [NEW]
    assert keyring.is_signed("test", b"message", after)
    assert not keyring.is_signed("test", b"message", before)


def test_without_any_the_secret_key_signs(settings):
    settings.SIGNING_KEYS = []
    signature = keyring.sign("test", b"message")

    settings.SECRET_KEY = secrets.token_urlsafe(64)

    assert not keyring.is_signed("test", b"message", signature)


@pytest.mark.parametrize(
    ("purpose", "message"), [("other", b"message"), ("test", b"messag"), ("test", b""), ("", b"message")]
)
def test_a_signature_is_for_one_purpose_and_message(settings, purpose, message):
    settings.SIGNING_KEYS = [NEW, OLD]

    assert not keyring.is_signed(purpose, message, keyring.sign("test", b"message"))


@pytest.mark.parametrize("signature", [b"", b"x", bytes(16)])
def test_what_is_no_signature_is_none(settings, signature):
    assert not keyring.is_signed("test", b"message", signature)


@pytest.mark.parametrize(
    ("keys", "ids"),
    [
        ([], []),
        ([NEW, OLD], []),
        (["short"], ["security.E080"]),
        ([NEW, "a" * 60], ["security.E080"]),
        ([NEW, NEW], ["security.E081"]),
    ],
)
def test_a_bad_key_ends_start_up(settings, keys, ids):
    settings.SIGNING_KEYS = keys

    assert [message.id for message in keyring.check_keyring()] == ids
