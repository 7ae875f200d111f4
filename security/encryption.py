"""Encryption: columns that a copy of the database does not open, and that open nowhere but in their place.

Threat: a backup, a replica or an injection that reads account numbers, tax ids and seeds of second factors;
and one that writes, and moves a value that it cannot read to where it is good for something: its own account
number, sealed as anything, into the row of a vendor that is about to be paid. Guarantee: such a value is
stored as AES-256-GCM under a key that is not in the database, with a nonce of 96 random bits. Key id, table,
column and row are its associated data: moved to another row or column, it does not open. What is looked up by
equality has a blind index beside it, an HMAC-SHA-256 under a key of its own that includes column and
organisation, so that equal values of two organisations share nothing.

An ``EncryptedField`` does it for a column of a model: assigned text is encrypted at once, for this row, and
``decrypt()`` has to be called to read it. Printing, comparing, filtering and serializing never do.

Settings: ENCRYPTION_KEYS ("id:key", the first encrypts, all decrypt), BLIND_INDEX_KEY. To replace a key:
security.key_rotation. Bad keys and a field on a model without public ids end start-up: security.E085 to E088.

ASVS 11.1.1, 11.2.2, 11.3.1, 11.3.2, 11.3.3, 11.3.4, 11.5.1, 13.3.1, 14.2.4.
"""

import base64
import binascii
import hmac
import json
import logging
import re
import secrets
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import pgtrigger
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import models
from django.db.models.query_utils import DeferredAttribute

KEY_BYTES = 32
NONCE_BYTES = 12
#: An id of at most 16 characters, and at least 256 bits in base64url.
ENTRY = re.compile(r"([a-z0-9][a-z0-9-]{0,15}):([A-Za-z0-9_-]{43,})")
MIN_DIFFERENT_CHARACTERS = 10
GENERATE = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'

logger = logging.getLogger(__name__)


class CannotDecrypt(Exception):  # noqa: N818  a state of the world, like Django's own exceptions
    """Not encrypted for this place, changed since, or under a key that is not in the keyring."""


# --- one value ---


def encrypt(text: str, *, table: str, column: str, row: str) -> str:
    """``text`` for its place alone, under the first key: ``id:`` and nonce, ciphertext, tag in base64url."""
    key_id = current_key_id()
    nonce = secrets.token_bytes(NONCE_BYTES)
    cipher = AESGCM(_keyring()[key_id])
    sealed = cipher.encrypt(nonce, text.encode(), _associated_data(key_id, table, column, row))
    return f"{key_id}:{base64.urlsafe_b64encode(nonce + sealed).decode()}"


def decrypt(ciphertext: str, *, table: str, column: str, row: str) -> str:
    """The text that was encrypted for this place. Raises CannotDecrypt, and the log says where."""
    key_id, _, encoded = ciphertext.partition(":")
    try:
        key, raw = _keyring()[key_id], base64.urlsafe_b64decode(encoded.encode())
        if base64.urlsafe_b64encode(raw).decode() != encoded:
            raise ValueError  # one spelling: the decoder passes over spare bits and foreign characters
        nonce, sealed = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
        return AESGCM(key).decrypt(nonce, sealed, _associated_data(key_id, table, column, row)).decode()
    except (KeyError, InvalidTag, binascii.Error, ValueError):
        # Not the row: it may be named by a secret, as a session is.
        logger.error("ciphertext does not open", extra={"table": table, "column": column})
        raise CannotDecrypt from None


def current_key_id() -> str:
    """The id of the key that encrypts."""
    return next(iter(_keyring()))


def blind_index(value: str, *, column: str, organisation_id: int) -> str:
    """What to look ``value`` up by: equal for equal values of one column and organisation. 43 characters."""
    index = hmac.digest(
        _derive(settings.BLIND_INDEX_KEY), _index_input(column, organisation_id, value), "sha256"
    )
    return base64.urlsafe_b64encode(index).decode().rstrip("=")


def _associated_data(key_id: str, table: str, column: str, row: str) -> bytes:
    """What a ciphertext is bound to. As JSON, so that no two places are spelled alike."""
    return json.dumps([key_id, table, column, row]).encode()


def _index_input(column: str, organisation_id: int, value: str) -> bytes:
    return json.dumps([column, organisation_id, value]).encode()


def _keyring() -> dict[str, bytes]:
    """The keys by id, in order."""
    return _parsed(tuple(settings.ENCRYPTION_KEYS))


@cache
def _parsed(entries: tuple[str, ...]) -> dict[str, bytes]:
    pairs = (entry.partition(":") for entry in entries)
    return {key_id: _derive(key) for key_id, _, key in pairs}


@cache
def _derive(key: str) -> bytes:
    """32 bytes of whatever form the key was given in."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"portcullis:encryption").derive(key.encode())


# --- a column ---


class Sealed:
    """An encrypted value in its place. It shows nothing of itself unless ``decrypt()`` is called."""

    __slots__ = ("ciphertext", "place")

    def __init__(self, ciphertext: str, *, table: str, column: str, row: str) -> None:
        self.ciphertext = ciphertext
        self.place = {"table": table, "column": column, "row": row}

    def decrypt(self) -> str:
        """Raises CannotDecrypt."""
        return decrypt(self.ciphertext, **self.place)

    def __repr__(self) -> str:
        return "<Sealed>"


class Ciphertext(str):
    """As the database has it: told apart from a text that is still to be encrypted."""

    __slots__ = ()


class SealedAttribute(DeferredAttribute):
    """Encrypts what is assigned, for the row it is assigned to; gives what is there as ``Sealed``."""

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        if instance is None:
            return self
        ciphertext = super().__get__(instance, cls)
        return None if ciphertext is None else Sealed(ciphertext, **self._place(instance))

    def __set__(self, instance: Any, value: Any) -> None:
        if isinstance(value, Sealed):
            same = value.place == self._place(instance)
            value = Ciphertext(value.ciphertext) if same else value.decrypt()
        if isinstance(value, str) and not isinstance(value, Ciphertext):
            value = Ciphertext(encrypt(value, **self._place(instance)))
        instance.__dict__[self.field.attname] = value

    def _place(self, instance: Any) -> dict[str, str]:
        table = instance._meta.db_table
        return {"table": table, "column": str(self.field.column), "row": str(instance.public_id)}


if TYPE_CHECKING:
    # What may be assigned, and what is read.
    TextField = models.TextField[str | Sealed | None, Sealed | None]
else:
    TextField = models.TextField


class EncryptedField(TextField):
    """A column of ciphertext, of a model with a public id. Empty is None. It cannot be filtered by."""

    descriptor_class = SealedAttribute

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "null": True, "blank": True, "editable": False})

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {k: v for k, v in kwargs.items() if k not in {"null", "blank", "editable"}}

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Ciphertext | None:
        return None if value is None else Ciphertext(value)

    def to_python(self, value: Any) -> Any:
        return value

    def get_prep_value(self, value: Any) -> Any:
        if value is None or isinstance(value, Ciphertext):
            return value if value is None else str(value)
        if isinstance(value, Sealed):
            return value.ciphertext
        raise TypeError(f"{self.name} is encrypted for its row: assign it to an instance, and save that")

    def get_lookup(self, lookup_name: str) -> Any:
        """Equal texts have different ciphertexts: a blind index is what finds them."""
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None


def keep_public_id() -> pgtrigger.Trigger:
    """The trigger of a model with encrypted columns: a row's public id, which they are bound to, stays.

    Else whoever writes to the database would take the ciphertext to another row, and the id along.
    """
    return pgtrigger.ReadOnly(name="keep_public_id", fields=["public_id"])


def encrypted_fields(model: type[models.Model]) -> list[EncryptedField]:
    """The columns of ``model`` that hold ciphertext."""
    return [field for field in model._meta.concrete_fields if isinstance(field, EncryptedField)]


# --- start-up ---


@register(Tags.security)
def check_encryption(**kwargs: Any) -> list[CheckMessage]:
    """security.E085 bad key, E086 id or key twice, E087 bad or shared index key, E088 no id that stays."""
    return [*_check_keys(), *_check_fields()]


def _check_keys() -> Iterator[CheckMessage]:
    entries = [ENTRY.fullmatch(entry) for entry in settings.ENCRYPTION_KEYS]
    if not entries or not all(entry and _is_random(entry[2]) for entry in entries):
        yield Error(
            "ENCRYPTION_KEYS is empty, or has an entry that is not an id and a random key.",
            hint=f"Give id:key, such as 2026-11: and what {GENERATE} prints; several with commas in between.",
            id="security.E085",
        )
    ids = [entry[1] for entry in entries if entry]
    keys = [entry[2] for entry in entries if entry]
    if len(set(ids)) != len(ids) or len(set(keys)) != len(keys):
        yield Error(
            "ENCRYPTION_KEYS has one id or one key twice.",
            hint="Give each key an id of its own, which is never used again.",
            id="security.E086",
        )
    index_key = settings.BLIND_INDEX_KEY
    others = [*keys, settings.SECRET_KEY, *settings.SIGNING_KEYS]
    if not ENTRY.fullmatch(f"x:{index_key}") or not _is_random(index_key) or index_key in others:
        yield Error(
            "BLIND_INDEX_KEY is too short or too uniform, or it is a key of another purpose as well.",
            hint=f"Give it what {GENERATE} prints, and use that nowhere else.",
            id="security.E087",
        )


def _is_random(key: str) -> bool:
    return len(set(key)) >= MIN_DIFFERENT_CHARACTERS


def _check_fields() -> Iterator[CheckMessage]:
    for model in apps.get_models():
        if not encrypted_fields(model):
            continue
        kept = {trigger.name for trigger in getattr(model._meta, "triggers", ())}
        if not any(f.name == "public_id" for f in model._meta.concrete_fields):
            fault = "there is no public id to bind it to"
            hint = "Derive it from security.identifiers.PublicIdModel."
        elif keep_public_id().name not in kept:
            fault = "it is bound to a public id that may change"
            hint = "Add keep_public_id() of security.encryption to its Meta.triggers, and run makemigrations."
        else:
            continue
        yield Error(f"{model._meta.label} has an encrypted column: {fault}.", hint=hint, id="security.E088")
