"""Migrations on a database that holds rows already."""

import base64
import json
import os
import secrets
import subprocess
import sys

import psycopg
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from psycopg import sql

from accounts import second_factor
from config import environment
from deploy.local.postgres import ROOT
from security.encryption import decrypt
from tests.live.service import with_database


@pytest.fixture
def database():
    """An empty database of the owner's: (its URL, a function that migrates it)."""
    name = f"scratch_{secrets.token_hex(6)}"
    owner_url = environment.secret("DATABASE_OWNER_URL")
    urls = {
        variable: with_database(os.environ[variable], name)
        for variable in ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_OPS_URL")
        if variable in os.environ
    }

    def migrate(*arguments):
        done = subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity=0", *arguments],
            env={**os.environ, **urls},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    with psycopg.connect(with_database(owner_url, "postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield with_database(owner_url, name), migrate
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_members_who_are_there_get_ids_of_their_own_and_can_lose_them_again(database):
    url, migrate = database
    migrate("accounts", "0001")
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO accounts_organisation (public_id, name, currency) "
            "SELECT gen_random_uuid(), 'Organisation ' || n, 'EUR' FROM generate_series(1, 50) n"
        )
        connection.execute(
            "INSERT INTO accounts_user (public_id, password, is_superuser, email, name, is_active, is_staff, "
            "joined_at) VALUES (gen_random_uuid(), '', false, 'a@b.example', 'A', true, false, now())"
        )
        connection.execute(
            "INSERT INTO accounts_membership (role, organisation_id, user_id) "
            "SELECT 'auditor', o.id, u.id FROM accounts_organisation o, accounts_user u ORDER BY o.id"
        )

    migrate()

    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT public_id, joined_at FROM accounts_membership ORDER BY id"
        ).fetchall()
    ids = [public_id for public_id, _ in rows]
    assert len(set(ids)) == 50
    assert ids == sorted(ids)
    assert all(joined_at for _, joined_at in rows)

    migrate("accounts", "0001")
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM accounts_membership").fetchone() == (50,)
        (secured,) = connection.execute(
            "SELECT relrowsecurity FROM pg_class WHERE relname = 'accounts_membership'"
        ).fetchone()
    assert not secured
    migrate()


def sealed_as_before(text, owner):
    """By the first version: under a key derived from SECRET_KEY, without the key's name."""
    info = b"portcullis:second factor"
    key = HKDF(SHA256(), 32, salt=None, info=info).derive(settings.SECRET_KEY.encode())
    nonce = secrets.token_bytes(12)
    return base64.urlsafe_b64encode(nonce + AESGCM(key).encrypt(nonce, text.encode(), owner)).decode()


def test_seeds_are_encrypted_anew_and_those_that_nobody_can_open_go(database):
    url, migrate = database
    migrate("accounts", "0003")
    migrate("mfa")
    with psycopg.connect(url) as connection:
        people = connection.execute(
            "INSERT INTO accounts_user (public_id, password, is_superuser, email, name, is_active, is_staff, "
            "joined_at) SELECT gen_random_uuid(), '', false, n || '@b.example', 'A', true, false, now() "
            "FROM generate_series(1, 2) n RETURNING id"
        ).fetchall()
        (kept,), (lost,) = people
        for person, secret in ((kept, sealed_as_before("SEED", str(kept).encode())), (lost, "A" * 60)):
            connection.execute(
                "INSERT INTO mfa_authenticator (user_id, type, data, created_at) "
                "VALUES (%s, 'totp', %s, now())",
                [person, json.dumps({"secret": secret, "last_step": 7})],
            )
    migrate("accounts")

    with psycopg.connect(url) as connection:
        ((person, data),) = connection.execute("SELECT user_id, data FROM mfa_authenticator").fetchall()
    assert (person, data["last_step"]) == (kept, 7)
    assert decrypt(data["secret"], **second_factor.PLACE, row=str(kept)) == "SEED"
