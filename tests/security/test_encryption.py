"""security.encryption: values, and columns of a model that only these tests have."""

import base64
import pickle
import secrets
import string

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.core.exceptions import FieldError
from django.db import models
from django.test.utils import isolate_apps

from security import encryption
from security.encryption import (
    CannotDecrypt,
    Ciphertext,
    EncryptedField,
    blind_index,
    check_encryption,
    decrypt,
    encrypt,
)
from security.identifiers import PublicIdModel

OLD, NEW = "old:" + secrets.token_urlsafe(32), "new:" + secrets.token_urlsafe(32)
PLACE = {"table": "thing", "column": "secret", "row": "1"}


@pytest.fixture
def model():
    with isolate_apps("security"):

        class Thing(PublicIdModel):
            secret = EncryptedField()
            other = EncryptedField()

            class Meta:
                app_label = "security"

        yield Thing


# --- values ---


def test_a_value_opens_in_its_place():
    assert decrypt(encrypt("text é", **PLACE), **PLACE) == "text é"


@pytest.mark.asvs("11.3.3")
@pytest.mark.parametrize("part", PLACE)
def test_a_value_opens_in_no_other_table_column_or_row(part):
    with pytest.raises(CannotDecrypt):
        decrypt(encrypt("text", **PLACE), **{**PLACE, part: "2"})


def test_places_that_read_alike_are_two():
    with pytest.raises(CannotDecrypt):
        decrypt(encrypt("text", table="a", column="b", row="c"), table="a", column='b", "c', row="")


def test_a_value_of_one_key_does_not_pass_for_one_of_another(settings):
    settings.ENCRYPTION_KEYS = [NEW]
    encoded = encrypt("text", **PLACE).partition(":")[2]
    settings.ENCRYPTION_KEYS = [NEW, "old:" + NEW.partition(":")[2]]

    with pytest.raises(CannotDecrypt):
        decrypt(f"old:{encoded}", **PLACE)


@pytest.mark.asvs("11.2.5")
@pytest.mark.parametrize("value", ["", "text", "new:", "new:AAAA", "new:é", "new:" + "A" * 40, ":"])
def test_what_was_never_encrypted_does_not_open(settings, value, caplog):
    settings.ENCRYPTION_KEYS = [NEW]

    with pytest.raises(CannotDecrypt):
        decrypt(value, **PLACE)
    assert [(r.levelname, r.table, r.column) for r in caplog.records] == [("ERROR", "thing", "secret")]


@pytest.mark.asvs("11.2.5", "11.3.3")
def test_each_changed_character_is_noticed(settings, caplog):
    settings.ENCRYPTION_KEYS = [NEW]
    ciphertext = encrypt("text", **PLACE)
    alphabet = string.ascii_letters + string.digits + "-_"
    for at in range(len("new:"), len(ciphertext)):
        # All of them: of the last characters some stand for the same bytes.
        for other in set(alphabet + "=~ ") - {ciphertext[at]}:
            with pytest.raises(CannotDecrypt):
                decrypt(ciphertext[:at] + other + ciphertext[at + 1 :], **PLACE)
    for added in ("=", "~", "\n", "A"):
        with pytest.raises(CannotDecrypt):
            decrypt(ciphertext + added, **PLACE)
    assert {record.getMessage() for record in caplog.records} == {"ciphertext does not open"}
    assert ciphertext[len("new:") :][:16] not in str([vars(record) for record in caplog.records])


@pytest.mark.asvs("11.2.2")
def test_the_first_key_encrypts_and_all_decrypt(settings):
    settings.ENCRYPTION_KEYS = [OLD]
    before = encrypt("text", **PLACE)
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    after = encrypt("text", **PLACE)

    assert (before[:4], after[:4]) == ("old:", "new:")
    assert decrypt(before, **PLACE) == decrypt(after, **PLACE) == "text"
    settings.ENCRYPTION_KEYS = [NEW]
    assert decrypt(after, **PLACE) == "text"
    with pytest.raises(CannotDecrypt):
        decrypt(before, **PLACE)


@pytest.mark.asvs("11.3.4")
def test_no_nonce_occurs_twice():
    assert len({encrypt("text", **PLACE) for _ in range(20_000)}) == 20_000


@pytest.mark.asvs("11.3.2")
def test_it_is_aes_256_gcm_and_nothing_else_opens_it(settings):
    """By the library alone, from the key as it was given: 32 bytes of it, and a nonce of 96 bits before."""
    settings.ENCRYPTION_KEYS = [NEW]
    _, key, sealed = (*NEW.partition(":")[::2], encrypt("text", **PLACE).partition(":")[2])
    derived = HKDF(SHA256(), 32, salt=None, info=b"portcullis:encryption").derive(key.encode())
    raw = base64.urlsafe_b64decode(sealed)

    assert AESGCM(derived).decrypt(raw[:12], raw[12:], b'["new", "thing", "secret", "1"]') == b"text"
    assert len(raw) == 12 + len("text") + 16


# --- blind indexes ---


@pytest.mark.asvs("11.4.3")
def test_an_index_is_equal_for_equal_values_of_one_column_and_organisation():
    index = blind_index("text", column="c", organisation_id=1)

    assert index == blind_index("text", column="c", organisation_id=1)
    assert len(index) == 43


@pytest.mark.parametrize("change", [{"value": "Text"}, {"column": "d"}, {"organisation_id": 2}])
def test_anything_else_is_another_index(change):
    index = blind_index("text", column="c", organisation_id=1)

    assert blind_index(**{"value": "text", "column": "c", "organisation_id": 1, **change}) != index


def test_without_its_key_an_index_cannot_be_made(settings):
    index = blind_index("text", column="c", organisation_id=1)
    settings.BLIND_INDEX_KEY = secrets.token_urlsafe(32)

    assert blind_index("text", column="c", organisation_id=1) != index


# --- columns ---


def test_what_is_assigned_is_encrypted_for_its_row(model):
    thing = model(secret="text")

    stored = thing.__dict__["secret"]
    assert "text" not in stored
    assert decrypt(stored, table="security_thing", column="secret", row=str(thing.public_id)) == "text"
    assert thing.secret.decrypt() == "text"
    assert thing.other is None


def test_it_shows_nothing_of_itself(model):
    thing = model(secret="text")

    for shown in (str(thing.secret), repr(thing.secret), f"{thing.secret}", repr(vars(thing))):
        assert "text" not in shown
    assert pickle.loads(pickle.dumps(thing.secret)).decrypt() == "text"  # noqa: S301  made here


@pytest.mark.asvs("11.3.3")
def test_a_ciphertext_of_another_row_or_column_does_not_open(model):
    theirs, ours = model(secret="text"), model()

    ours.__dict__["secret"] = theirs.__dict__["secret"]
    theirs.__dict__["other"] = theirs.__dict__["secret"]
    for moved in (ours.secret, theirs.other):
        with pytest.raises(CannotDecrypt):
            moved.decrypt()


def test_a_value_that_is_given_on_is_encrypted_anew(model):
    one, other = model(secret="text"), model()

    other.secret = one.secret
    one.other = one.secret
    kept = one.__dict__["secret"]
    one.secret = one.secret

    assert other.secret.decrypt() == one.other.decrypt() == "text"
    assert one.__dict__["secret"] == kept


def test_a_row_of_the_database_is_not_encrypted_twice(model):
    thing = model(secret="text")
    field = model._meta.get_field("secret")

    again = model.from_db(
        "default",
        ["public_id", "secret"],
        [thing.public_id, field.from_db_value(str(thing.__dict__["secret"]), None, None)],
    )

    assert again.secret.decrypt() == "text"
    assert type(again.__dict__["secret"]) is Ciphertext


def test_it_reaches_the_database_as_ciphertext_only(model):
    field = model._meta.get_field("secret")
    thing = model(secret="text")

    assert field.get_prep_value(thing.secret) == thing.__dict__["secret"]
    assert type(field.get_prep_value(thing.__dict__["secret"])) is str
    assert field.get_prep_value(None) is None
    with pytest.raises(TypeError, match="assign it to an instance"):
        field.get_prep_value("text")


def test_it_cannot_be_filtered_by(model):
    with pytest.raises(FieldError):
        model.objects.filter(secret="text")
    assert model.objects.filter(secret__isnull=True).query


# --- start-up ---

KEY = secrets.token_urlsafe(32)


@pytest.mark.asvs("11.2.3")
@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        ({}, []),
        ({"ENCRYPTION_KEYS": [NEW, OLD]}, []),
        ({"ENCRYPTION_KEYS": []}, ["security.E085"]),
        ({"ENCRYPTION_KEYS": [KEY]}, ["security.E085"]),
        ({"ENCRYPTION_KEYS": ["a:short"]}, ["security.E085"]),
        ({"ENCRYPTION_KEYS": ["a:" + "b" * 43]}, ["security.E085"]),
        ({"ENCRYPTION_KEYS": ["An Id:" + KEY]}, ["security.E085"]),
        ({"ENCRYPTION_KEYS": [NEW, "new:" + KEY]}, ["security.E086"]),
        ({"ENCRYPTION_KEYS": ["a:" + KEY, "b:" + KEY]}, ["security.E086"]),
        ({"BLIND_INDEX_KEY": ""}, ["security.E087"]),
        ({"BLIND_INDEX_KEY": "b" * 43}, ["security.E087"]),
        ({"BLIND_INDEX_KEY": KEY, "ENCRYPTION_KEYS": ["a:" + KEY]}, ["security.E087"]),
        ({"BLIND_INDEX_KEY": KEY, "SIGNING_KEYS": [KEY]}, ["security.E087"]),
    ],
)
def test_bad_keys_end_start_up(settings, changes, ids):
    for name, value in changes.items():
        setattr(settings, name, value)

    messages = check_encryption()

    assert [message.id for message in messages] == ids
    assert KEY not in "".join(f"{message.msg}{message.hint}" for message in messages)


def test_a_column_without_a_row_to_bind_it_to_ends_start_up(monkeypatch):
    with isolate_apps("security"):

        class Nameless(models.Model):
            secret = EncryptedField()

            class Meta:
                app_label = "security"

            def __str__(self):
                return ""

        class Renamed(PublicIdModel):
            secret = EncryptedField()

            class Meta:
                app_label = "security"

    monkeypatch.setattr(encryption.apps, "get_models", lambda: [Nameless, Renamed])

    assert [message.id for message in check_encryption()] == ["security.E088"] * 2
