"""security.key_rotation and manage.py rotate_keys, on the seeds of second factors: every fork has those."""

import os
import secrets
import subprocess
import sys

import psycopg
import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from accounts import second_factor
from deploy.local.postgres import ROOT
from security import key_rotation
from security.database_roles import owner
from security.encryption import decrypt, encrypt
from security.key_rotation import Holding, check_key_rotation, count_stale, holdings, rotate
from tests import factories
from tests.live.service import with_database

OLD, NEW = "old:" + secrets.token_urlsafe(32), "new:" + secrets.token_urlsafe(32)
SEEDS = Holding("mfa_authenticator", "data", row="user_id", members=("secret", "seed"))


@pytest.fixture
def seeds(acme, settings):
    """Of five people, under the old key; the new one is there."""
    settings.ENCRYPTION_KEYS = [OLD]
    found = []
    for _ in range(5):
        user = factories.enrol(factories.member("auditor", acme))
        data = {"seed": encrypt("a seed", **second_factor.PLACE, row=str(user.pk)), "used_mask": 0}
        found.append(Authenticator.objects.create(user=user, type="recovery_codes", data=data))
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    return found


def opened(row):
    """The secrets of a row of the database."""
    row.refresh_from_db()
    return {
        name: decrypt(row.data[name], **second_factor.PLACE, row=str(row.user_id))
        for name in SEEDS.members
        if name in row.data
    }


@pytest.mark.asvs("11.2.2")
@pytest.mark.django_db
def test_it_encrypts_anew_in_batches_what_is_under_another_key(seeds, settings):
    assert count_stale(SEEDS) == 10

    assert [progress.rotated for progress in map(vars_of, rotate(SEEDS, batch_rows=4))] == [4, 8, 10]

    assert count_stale(SEEDS) == 0
    assert list(rotate(SEEDS)) == []
    settings.ENCRYPTION_KEYS = [NEW]
    for row in seeds:
        assert opened(row) == {"seed": "a seed"}
        assert row.data["used_mask"] == 0
        assert opened(Authenticator.objects.get(user=row.user, type="totp")) == {
            "secret": factories.TOTP_SECRET
        }


def vars_of(progress):
    """As it is now: the generator goes on counting in it."""
    return type(progress)(progress.rotated, progress.conflicts, progress.broken)


@pytest.mark.django_db
def test_what_is_written_meanwhile_wins(seeds, monkeypatch):
    renew = key_rotation._renew

    def write_in_between(holding, row, old):
        Authenticator.objects.filter(user_id=row, type="recovery_codes").update(
            data={"seed": encrypt("a new seed", **second_factor.PLACE, row=row), "used_mask": 1}
        )
        return renew(holding, row, old)

    monkeypatch.setattr(key_rotation, "_renew", write_in_between)
    (progress,) = rotate(SEEDS)

    assert (progress.rotated, progress.conflicts) == (5, 5)
    for row in seeds:
        assert opened(row) == {"seed": "a new seed"}
        assert row.data["used_mask"] == 1


@pytest.mark.django_db
def test_what_does_not_open_is_counted_and_left(seeds):
    lost = seeds[2]
    Authenticator.objects.filter(pk=lost.pk).update(data={"seed": "gone:AAAA", "used_mask": 0})

    (progress,) = rotate(SEEDS)

    assert (progress.rotated, progress.broken) == (9, 1)
    lost.refresh_from_db()
    assert lost.data["seed"] == "gone:AAAA"


def test_every_column_with_ciphertext_is_found():
    assert SEEDS in holdings()
    assert check_key_rotation() == []


def test_a_column_that_cannot_be_rotated_ends_start_up(monkeypatch):
    monkeypatch.setattr(key_rotation, "holdings", lambda: [Holding("accounts_user", "name")])

    assert [message.id for message in check_key_rotation()] == ["security.E089"]

    # The trigger would refuse what the command replaces.
    missing = Holding("mfa_authenticator", "data", row="user_id", members=("secret", "other"))
    monkeypatch.setattr(key_rotation, "holdings", lambda: [missing])
    assert [message.id for message in check_key_rotation()] == ["security.E089"]


# --- the command, as the ops role ---


def environment(**changes):
    """Of a process that uses the test's database."""
    name = connection.settings_dict["NAME"]
    urls = {v: with_database(url, name) for v, url in os.environ.items() if v.startswith("DATABASE_")}
    return {**os.environ, **urls, **changes}


def command(*arguments, **changes):
    return subprocess.run(
        [sys.executable, "manage.py", "rotate_keys", *arguments],
        cwd=ROOT,
        env=environment(ENCRYPTION_KEYS=f"{NEW},{OLD}", **changes),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.django_db(transaction=True)
def test_the_command_shows_progress_and_may_be_run_again(seeds):
    done = command("--batch", "4")

    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if "mfa" in line] == [
        "mfa_authenticator.data: 4 of 10",
        "mfa_authenticator.data: 8 of 10",
        "mfa_authenticator.data: 10 of 10",
    ]
    assert done.stdout.splitlines()[-1] == "Everything is under new."
    assert count_stale(SEEDS) == 0
    assert command().stdout == "Everything is under new.\n"


@pytest.mark.django_db(transaction=True)
def test_the_command_tells_of_what_does_not_open_and_of_another_one(seeds):
    Authenticator.objects.filter(pk=seeds[0].pk).update(data={"seed": "gone:AAAA", "used_mask": 0})
    done = command()

    assert done.returncode == 1
    assert "1 values do not open" in done.stderr
    assert count_stale(SEEDS) == 1

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext('portcullis.rotate_keys'))")
        assert "running already" in command().stderr
        cursor.execute("SELECT pg_advisory_unlock_all()")


@pytest.mark.django_db(transaction=True)
def test_what_the_role_cannot_reach_is_not_called_done(seeds):
    """It would see no row, and the old key would be thrown away."""
    ops = settings.DATABASE_OPS["USER"]
    with owner(), connection.cursor() as cursor:
        cursor.execute(f"REVOKE UPDATE (data) ON mfa_authenticator FROM {ops}")
    try:
        done = command()
        assert done.returncode == 1
        assert "mfa_authenticator.data" in done.stderr
        assert "Everything" not in done.stdout
        assert key_rotation.out_of_reach() == [SEEDS]
    finally:
        call_command("migrate", verbosity=0)

    assert key_rotation.out_of_reach() == []
    assert command().returncode == 0
    assert count_stale(SEEDS) == 0


@pytest.mark.django_db(transaction=True)
def test_rows_out_of_sight_are_out_of_reach(seeds):
    """With row-level security and no policy for the role, a count of what is left is nought."""
    with owner(), connection.cursor() as cursor:
        cursor.execute("DROP POLICY IF EXISTS operators ON mfa_authenticator")
        cursor.execute("ALTER TABLE mfa_authenticator ENABLE ROW LEVEL SECURITY")
    try:
        assert key_rotation.out_of_reach() == [SEEDS]
        assert command().returncode == 1
        call_command("migrate", verbosity=0)
        assert key_rotation.out_of_reach() == []
    finally:
        with owner(), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE mfa_authenticator DISABLE ROW LEVEL SECURITY")


def test_without_the_operators_role_it_says_what_is_missing(settings):
    settings.DATABASE_OPS = {}

    with pytest.raises(CommandError, match="DATABASE_OPS_URL is not set"):
        call_command("rotate_keys")


def test_a_batch_has_rows():
    with pytest.raises(CommandError, match="at least 1"):
        call_command("rotate_keys", batch=0)


@pytest.mark.django_db(transaction=True)
def test_the_operators_role_replaces_ciphertexts_and_nothing_else(seeds):
    with psycopg.connect(environment()["DATABASE_OPS_URL"], autocommit=True) as ops:
        assert ops.execute("UPDATE mfa_authenticator SET data = data").rowcount == 10
        for statement in (
            "UPDATE mfa_authenticator SET user_id = 1",
            "INSERT INTO mfa_authenticator (type, data) VALUES ('totp', '{}')",
            "DELETE FROM mfa_authenticator",
            "UPDATE accounts_user SET name = ''",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                ops.execute(statement)


@pytest.mark.django_db(transaction=True)
def test_the_operators_role_plants_no_factor_of_its_own(seeds):
    """A right on the column is one on the passkeys and the hashes of recovery codes in it as well."""
    victim = seeds[0].user
    Authenticator.objects.create(user=victim, type="webauthn", data={"credential": {"id": "theirs"}})
    with transaction.atomic():
        second_factor.new_recovery_codes(victim)
    before = sorted(Authenticator.objects.values_list("id", "data"), key=str)
    with psycopg.connect(environment()["DATABASE_OPS_URL"], autocommit=True) as ops:
        for kind, data in (
            ("webauthn", """'{"credential": {"id": "mine"}}'"""),
            ("recovery_codes", """'{"hashes": ["argon2id of a code of mine"]}'"""),
            ("totp", "data || '{\"last_step\": -1}'"),
            ("totp", "data - 'secret'"),
            ("totp", 'data || \'{"secret": "a seed of mine"}\''),
            ("totp", "data || '{\"secret\": null}'"),
            ("totp", "'[]'"),
            ("webauthn", "data || jsonb_build_object('secret', %s::text)"),
        ):
            sealed = encrypt("a seed", **second_factor.PLACE, row=str(victim.pk))
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="replaces ciphertexts"):
                ops.execute(
                    f"UPDATE mfa_authenticator SET data = {data} WHERE type = '{kind}'",
                    [sealed] if "%s" in data else None,
                )

    assert sorted(Authenticator.objects.values_list("id", "data"), key=str) == before
