"""seed_demo, demo_token and reset_second_factor. The demo's token is fetched in tests/live."""

import json
import stat
from io import StringIO

import pytest
from django.core import mail
from django.core.management import CommandError, call_command

from accounts import second_factor
from accounts.models import Membership, User
from accounts.oauth.models import Application
from security.models import AuditEvent
from security.scopes import all_roles
from tests import factories
from tests.clients import Api, Page

pytestmark = pytest.mark.django_db


@pytest.fixture
def demo_file(settings, tmp_path):
    settings.DEMO = True
    settings.DEMO_FILE = tmp_path / "run" / "demo.json"
    return settings.DEMO_FILE


def test_it_seeds_two_organisations_with_every_role(demo_file):
    call_command("seed_demo")

    demo = json.loads(demo_file.read_text())
    assert {user["organisation"] for user in demo["users"]} == {"Acme", "Globex"}
    assert {user["role"] for user in demo["users"]} == set(all_roles())
    assert Membership.objects.count() == 2 * len(all_roles())
    assert set(demo) == {"base_url", "ca_file", "users", "clients", "objects"}
    for user in demo["users"]:
        assert set(user) == {"username", "password", "organisation", "role", "totp_secret"}
    for client in demo["clients"]:
        keys = {"client_id", "client_secret", "private_jwk", "grant_types", "scopes", "redirect_uris"}
        assert set(client) == keys


def test_the_file_is_for_its_owner_only(demo_file):
    call_command("seed_demo")

    assert stat.S_IMODE(demo_file.stat().st_mode) == 0o600


def test_its_users_can_sign_in(demo_file):
    call_command("seed_demo")

    for user in json.loads(demo_file.read_text())["users"]:
        page = Page()
        response = page.enter_password(User.objects.get(email=user["username"]), user["password"])
        if user["totp_secret"]:
            response = page.enter_code(secret=user["totp_secret"])
        assert response.status_code == 303
        assert response["Location"] == "/docs"


def test_roles_that_need_a_second_factor_have_one(demo_file):
    call_command("seed_demo")

    with_seed = {user["role"] for user in json.loads(demo_file.read_text())["users"] if user["totp_secret"]}
    assert with_seed == second_factor.roles_requiring_mfa()
    assert "org_admin" in with_seed


def test_again_it_keeps_what_is_there(demo_file):
    call_command("seed_demo")
    before, ids = demo_file.read_text(), set(User.objects.values_list("pk", flat=True))

    call_command("seed_demo")

    assert demo_file.read_text() == before
    assert set(User.objects.values_list("pk", flat=True)) == ids


def test_a_lost_file_gets_new_passwords(demo_file):
    call_command("seed_demo")
    before = json.loads(demo_file.read_text())["users"][0]
    demo_file.unlink()

    call_command("seed_demo")

    after = json.loads(demo_file.read_text())["users"][0]
    assert after["password"] != before["password"]
    assert User.objects.get(email=after["username"]).check_password(after["password"])


def test_secrets_are_stored_hashed(demo_file):
    call_command("seed_demo")

    secrets = {c["client_secret"] for c in json.loads(demo_file.read_text())["clients"] if c["client_secret"]}
    assert secrets
    assert not secrets & set(Application.objects.values_list("client_secret", flat=True))


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("seed_demo", []),
        ("demo_code", ["--user", "approver@acme.example"]),
        ("demo_token", ["--user", "clerk@acme.example", "--scope", "account:read"]),
    ],
)
def test_they_are_refused_unless_the_demo_is_on(settings, command, options):
    settings.DEMO = False

    with pytest.raises(CommandError, match="DEMO is off"):
        call_command(command, *options, stdout=StringIO())


def test_a_code_is_what_the_app_would_show(demo_file):
    call_command("seed_demo")
    boss = next(u for u in json.loads(demo_file.read_text())["users"] if u["role"] == "org_admin")
    page, shown = Page(), StringIO()
    page.enter_password(User.objects.get(email=boss["username"]), boss["password"])
    call_command("demo_code", "--user", boss["username"], stdout=shown, stderr=StringIO())

    assert page.enter_code(shown.getvalue().strip())["Location"] == "/docs"
    with pytest.raises(CommandError, match="These have a second factor"):
        call_command("demo_code", "--user", "auditor@acme.example")


def test_a_token_needs_the_demo_and_a_user_of_it(demo_file):
    with pytest.raises(CommandError, match="make run"):
        call_command("demo_token", "--user", "x", "--scope", "account:read")
    call_command("seed_demo")
    with pytest.raises(CommandError, match="no such demo user"):
        call_command("demo_token", "--user", "x", "--scope", "account:read")


# --- reset_second_factor ---


PROOF = ["--operator", "jo", "--proof", "passport seen, by video"]


@pytest.mark.asvs("6.4.4")
def test_an_operator_lets_somebody_in_again_and_says_why(acme):
    boss = factories.enrol(factories.member("org_admin", acme))
    second_factor.new_recovery_codes(boss)
    page, token = Page(), factories.token(boss, acme)
    page.sign_in(boss)

    call_command("reset_second_factor", boss.email.upper(), *PROOF, stdout=StringIO())

    assert page.get("/docs").status_code == 302
    assert Api(token).get("/v1/me").status_code == 401
    assert page.enter_password(boss)["Location"] == "/sign-in/enrol"  # and not in
    (told,) = mail.outbox
    assert (told.subject, told.to) == ("Your second factors were removed", [boss.email])
    event = AuditEvent.objects.get(event="account:factor:reset")
    assert (event.organisation_id, event.target_id) == (acme.pk, boss.public_id)
    assert event.detail == {"operator": "jo", "proof": "passport seen, by video"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["nobody@nowhere.example", *PROOF], "Nobody has this address"),
        (["somebody", "--operator", "jo", "--proof", "yes"], "it is recorded"),
        (["somebody", "--operator", " ", "--proof", "passport seen"], "it is recorded"),
        (["somebody", *PROOF], "no second factor"),
    ],
)
def test_it_does_nothing_without_proof_or_factor(acme, options, told):
    somebody = factories.member("auditor", acme)
    page = Page()
    page.sign_in(somebody)
    options = [somebody.email if option == "somebody" else option for option in options]

    with pytest.raises(CommandError, match=told):
        call_command("reset_second_factor", *options)

    assert page.get("/docs").status_code == 200
    assert mail.outbox == []
