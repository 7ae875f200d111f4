"""The documents keep up with the code."""

import re

import pytest

from deploy.local.postgres import ROOT

PAGES = ROOT / "docs" / "controls"
NO_CONTROL = {"__init__", "apps", "models"}
MODULES = sorted(path.stem for path in (ROOT / "security").glob("*.py") if path.stem not in NO_CONTROL)
CHECK_ID = re.compile(r'id="(security\.E\d{3})"')


def page(module):
    return PAGES / f"{module.replace('_', '-')}.md"


@pytest.mark.parametrize("module", MODULES)
def test_a_control_has_a_docstring_a_test_a_page_and_a_row(module):
    source = (ROOT / "security" / f"{module}.py").read_text()
    docstring = source.split('"""')[1]

    for part in ("Threat:", "Guarantee:"):
        assert part in docstring
    assert re.search(r"ASVS \d", docstring)
    assert list((ROOT / "tests" / "security").glob(f"test_{module}.py"))
    assert page(module).exists()
    assert f"({page(module).name})" in (PAGES / "index.md").read_text()


def test_a_page_has_a_control():
    assert {path.stem for path in PAGES.glob("*.md")} - {"index"} == {m.replace("_", "-") for m in MODULES}


def test_check_ids_are_unique_and_indexed_in_order():
    used = [
        found
        for path in sorted((ROOT / "security").glob("*.py"))
        for found in CHECK_ID.findall(path.read_text())
    ]
    listed = re.findall(r"`(security\.E\d{3})`", (PAGES / "index.md").read_text())

    assert len(used) == len(set(used))
    assert listed == sorted(used)


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/compose.md",
        "docs/lab.md",
        "docs/members.md",
        "docs/oauth.md",
        "docs/sign-in.md",
    ],
)
def test_links_lead_somewhere(name):
    text = (ROOT / name).read_text()

    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert ((ROOT / name).parent / target).exists(), target


@pytest.mark.parametrize("target", re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text()))
def test_the_readmes_commands_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_readmes_example_is_the_code():
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    for name in re.findall(r"\b(?:PolicyViewSet|Rule|Allow|TenantObjects|NoBody)\b", example):
        assert name in (ROOT / "security" / "policy.py").read_text()
