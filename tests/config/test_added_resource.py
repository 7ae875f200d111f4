"""A fork adds a resource: refused at start-up until it is complete, then covered without another line."""

import os
import shutil
import subprocess
import sys
import tomllib

import pytest

from deploy.local.postgres import ROOT
from tests.live.service import with_database

KEPT_OUT = shutil.ignore_patterns(".git", ".venv", ".run", "__pycache__", ".*_cache", "staticfiles")
FILES = {
    "ledgers/__init__.py": "",
    "ledgers/apps.py": """
from django.apps import AppConfig

class LedgersConfig(AppConfig):
    name = "ledgers"
    scopes = {"ledgers:read": "Read ledgers"}
""",
    "ledgers/models.py": """
from django.db import models
from security.identifiers import PublicIdModel
from security.row_security import TenantModel

class Ledger(PublicIdModel, TenantModel):
    name = models.CharField(max_length=50)
""",
    "ledgers/migrations/__init__.py": "",
    "ledgers/migrations/0001_initial.py": """
from django.db import migrations, models
from security.identifiers import uuid7
from security.row_security import RowSecurity

class Migration(migrations.Migration):
    initial = True
    dependencies = [("security", "0002_row_security")]
    operations = [
        migrations.CreateModel("Ledger", [
            ("id", models.BigAutoField(primary_key=True, serialize=False)),
            ("public_id", models.UUIDField(default=uuid7, editable=False, unique=True)),
            ("organisation_id", models.BigIntegerField(editable=False)),
            ("name", models.CharField(max_length=50)),
        ]),
        RowSecurity("Ledger"),
    ]
""",
    "ledgers/views.py": """
from ledgers.models import Ledger
from security.identifiers import PublicIdField
from security.object_permissions import TenantObjects
from security.policy import Allow, PolicyViewSet, Rule
from security.serializers import ReadSerializer

class LedgerReader(ReadSerializer[Ledger]):
    id = PublicIdField()

    class Meta:
        model = Ledger
        fields = ("id", "name")

class LedgerViewSet(PolicyViewSet):
    queryset = Ledger.objects.all()
    rules = {
        "retrieve": Rule(
            allow=(Allow("ledgers:read", frozenset({"auditor"})),),
            objects=TenantObjects(),
            throttle="read",
            response=LedgerReader,
        ),
    }
""",
    "tests/ledgers/__init__.py": "",
    "tests/ledgers/examples.py": """
from ledgers.models import Ledger
from tests.contract.walk import Call

def ledger(team):
    return Ledger.objects.create(organisation_id=team.organisation.pk, name="General")

EXAMPLES = {"GET /v1/ledgers/{id}": lambda team: Call("auditor", ledger(team))}
""",
    "tests/ledgers/budget.toml": '"GET /v1/ledgers/{id}" = { sql = 2, valkey = 1 }\n',
}
ROUTE = '    path("v1/", include(resource("ledgers", LedgerViewSet))),\n]\n'
INCOMPLETE = {
    "a table without row security": (
        "ledgers/migrations/0001_initial.py",
        '        RowSecurity("Ledger"),\n',
        "security.E050",
    ),
    "a model that is no tenant's": ("ledgers/models.py", ", TenantModel", "security.E051"),
    "no throttle": ("ledgers/views.py", 'throttle="read"', "security.E002"),
    "no roles": ("ledgers/views.py", '"auditor"', "security.E002"),
    "an undeclared scope": ("ledgers/apps.py", '"ledgers:read": "Read ledgers"', "security.E002"),
    "an internal key": ("ledgers/views.py", "    id = PublicIdField()\n", "security.E020"),
    "fields that are not listed": ("ledgers/views.py", '("id", "name")', "security.E010"),
}
INSTEAD = {
    ", TenantModel": "",
    'throttle="read"': 'throttle="sometimes"',
    '("id", "name")': '"__all__"',
}


@pytest.fixture
def fork(tmp_path):
    fork = tmp_path / "fork"
    shutil.copytree(ROOT, fork, ignore=KEPT_OUT)
    for name, text in FILES.items():
        (fork / name).parent.mkdir(parents=True, exist_ok=True)
        (fork / name).write_text(text)
    settings, urls = fork / "config" / "settings" / "__init__.py", fork / "config" / "urls.py"
    settings.write_text(
        settings.read_text().replace('    "accounts",\n', '    "accounts",\n    "ledgers",\n', 1)
    )
    text = urls.read_text().replace(
        "from security import errors\n",
        "from ledgers.views import LedgerViewSet\nfrom security import errors\n",
    )
    urls.write_text(text.replace("]\n\nhandler400", ROUTE + "\nhandler400"))
    return fork


def run(fork, *command, **environment):
    return subprocess.run(
        [sys.executable, *command],
        cwd=fork,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "PYTEST_ADDOPTS": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("what", INCOMPLETE)
def test_it_is_refused_until_it_is_complete(fork, what):
    name, part, check = INCOMPLETE[what]
    text = (fork / name).read_text()
    assert part in text
    (fork / name).write_text(text.replace(part, INSTEAD.get(part, "")))
    if what == "a model that is no tenant's":
        model = fork / "ledgers" / "models.py"
        model.write_text(model.read_text() + "    organisation_id = models.BigIntegerField()\n")

    done = run(fork, "manage.py", "check")

    assert done.returncode != 0
    assert check in done.stderr


def test_then_the_schema_the_matrix_and_the_nets_have_it(fork, live_database):
    check = ("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert "security.E095" in run(fork, *check).stderr
    assert run(fork, "manage.py", "spectacular", "--file", "openapi.yaml").returncode == 0
    assert "/v1/ledgers/{id}" in (fork / "openapi.yaml").read_text()
    assert run(fork, *check).returncode == 0

    databases = {name: with_database(url, "fork_added") for name, url in live_database.items()}
    tests = [
        "tests/contract",
        "tests/security/test_row_security.py",
        "--deselect",
        "tests/contract/test_connection_reuse.py",
    ]
    settings = {"DJANGO_SETTINGS_MODULE": "config.settings.test", **databases}
    before = run(fork, "-m", "pytest", "-q", "-k", "ledgers or Ledger", *tests, **settings)
    assert "run make matrix" in before.stdout
    assert "1 failed" in before.stdout.splitlines()[-1], before.stdout[-3000:]

    after = run(fork, "-m", "pytest", "-q", "-k", "ledgers or Ledger", *tests, UPDATE_MATRIX="1", **settings)

    assert after.returncode == 0, after.stdout[-3000:]
    row = tomllib.loads((fork / "tests" / "ledgers" / "matrix.toml").read_text())["GET /v1/ledgers/{id}"]
    assert (row["anonymous"], row["other_tenant"], row["auditor"], row["org_admin"]) == (401, 404, 200, 403)
