"""What was sealed under a key derived from SECRET_KEY goes under ENCRYPTION_KEYS; sessions and recovery codes end."""

import base64

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import migrations

from security.encryption import encrypt

NONCE_BYTES = 12


def encrypt_anew(apps, schema_editor):
    apps.get_model("accounts", "Session").objects.all().delete()
    factors = apps.get_model("mfa", "Authenticator").objects
    factors.filter(
        type="recovery_codes", data__has_key="seed"
    ).delete()  # codes are hashed now, and made anew
    for row in factors.filter(type="totp"):
        seed = unseal(row.data["secret"], str(row.user_id))
        if seed is None:
            row.delete()  # of a key that is gone: nobody could have used it
        else:
            place = {"table": "mfa_authenticator", "column": "data", "row": str(row.user_id)}
            row.data["secret"] = encrypt(seed, **place)
            row.save(update_fields=["data"])


def unseal(sealed, owner):
    raw = base64.urlsafe_b64decode(sealed)
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        key = HKDF(SHA256(), 32, salt=None, info=b"portcullis:second factor").derive(secret.encode())
        try:
            return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], owner.encode()).decode()
        except InvalidTag:
            continue
    return None


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_failed_sign_ins"), ("mfa", "0003_authenticator_type_uniq")]

    operations = [migrations.RunPython(encrypt_anew, migrations.RunPython.noop, elidable=True)]
