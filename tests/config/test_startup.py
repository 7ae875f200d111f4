"""A planted mistake fails the checks, and ends the process under granian with a message that helps."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.postgres import ROOT
from tests.live.service import Service

PACKAGES = ("accounts", "config", "deploy", "lab", "resources", "security", "tests")
FILES = ("manage.py", "openapi.yaml", "pyproject.toml", "Makefile")
ENDS_WITHIN_SECONDS = 30

VIEW = """
from django.http import HttpResponse

def forgotten(request):
    return HttpResponse("every invoice of everybody")

urlpatterns.append(path("v1/forgotten", forgotten))
"""
SERIALIZER = """

class Everything(StrictModelSerializer[Organisation]):
    class Meta:
        model = Organisation
        fields = "__all__"
"""
AGAINST_THE_ARROW = "\nfrom accounts.models import User as Forbidden\n"


@pytest.fixture
def copy(tmp_path):
    """The project's own files, in a directory to plant mistakes in."""
    target = tmp_path / "copy"
    target.mkdir()
    for name in PACKAGES:
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, target)
    return target


def plant(file: Path, text: str) -> None:
    file.write_text(file.read_text() + text)


def plant_view(copy):
    plant(copy / "config" / "urls.py", VIEW)


def plant_serializer(copy):
    file = copy / "accounts" / "serializers.py"
    imports = (
        "from accounts.models import Organisation\nfrom security.strict_input import StrictModelSerializer\n"
    )
    docstring, rest = file.read_text().split('"""\n', 1)
    file.write_text(f'{docstring}"""\n{imports}{rest}{SERIALIZER}')


MISTAKES = {
    "view": (plant_view, "security.E001", "Derive it from security.policy.PolicyViewSet"),
    "serializer": (plant_serializer, "security.E010", "Give Meta.fields as a tuple of names"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_process_ends_under_granian(copy, live_database, tmp_path, mistake):
    plant_mistake, check, hint = MISTAKES[mistake]
    plant_mistake(copy)
    service = Service(tmp_path, live_database, root=copy)

    child = service.launch()
    try:
        child.process.wait(ENDS_WITHIN_SECONDS)
    finally:
        service.stop()

    said = service.log.read_text()
    assert child.process.returncode != 0
    assert "Portcullis does not start" in said
    assert check in said
    assert hint in said


@pytest.mark.parametrize("mistake", MISTAKES)
def test_make_check_fails(copy, mistake):
    plant_mistake, check, hint = MISTAKES[mistake]
    plant_mistake(copy)

    done = make(copy, "check-system")

    assert done.returncode != 0
    assert check in done.stdout + done.stderr
    assert hint in done.stdout + done.stderr


@pytest.mark.parametrize("file", ["security/audit.py", "resources/models.py"])
def test_an_import_against_the_arrow_fails_make_check(copy, file):
    if not (copy / file).exists():
        return
    assert make(copy, "check-imports").returncode == 0
    plant(copy / file, AGAINST_THE_ARROW)

    done = make(copy, "check-imports")

    assert done.returncode != 0
    assert "accounts.models" in done.stdout


def make(copy, target):
    return subprocess.run(
        ["make", target, f"VENV={Path(sys.prefix)}"],
        cwd=copy,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
