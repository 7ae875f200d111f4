"""The documents keep up with the code."""

import ast
import re

import pytest
from django.apps import apps

from config import settings as production
from deploy.local.postgres import ROOT
from security.audit_trail import AuditEventReader

PAGES = ROOT / "docs" / "controls"
NO_CONTROL = {"__init__", "apps", "models"}
MODULES = sorted(path.stem for path in (ROOT / "security").glob("*.py") if path.stem not in NO_CONTROL)
#: Those that stay in a fork and write events.
PACKAGES = ("accounts", "security")
#: At most one part is put in as it is written. A problem's instance looks like one.
TAG = re.compile(r"(?!urn:)[a-z]+:(?:[a-z-]+:[a-z-]+|<\w+>:[a-z-]+|[a-z-]+:<\w+>)")
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
        "docs/accounts-payable.md",
        "docs/asvs.md",
        "docs/compose.md",
        "docs/cryptography.md",
        "docs/events.md",
        "docs/lab.md",
        "docs/members.md",
        "docs/oauth.md",
        "docs/one-request.md",
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


def cells(page, title):
    """The rows of the first table below a heading, without its head."""
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", page.read_text(), re.DOTALL | re.MULTILINE)[1]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


def tags_of(*packages):
    """The tags of audit events that the source of these packages writes. An f-string's part is ``<name>``."""
    nodes = [
        node
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
    ]
    strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    strings |= {
        "".join(
            str(p.value) if isinstance(p, ast.Constant) else f"<{ast.unparse(p.value)}>" for p in node.values
        )
        for node in nodes
        if isinstance(node, ast.JoinedStr)
    }
    return {text for text in strings - unused_members(nodes) if TAG.fullmatch(text)}


def unused_members(nodes):
    """The values of an ``Event`` that nothing writes."""
    used = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and re.search(r"\bEvent$", ast.unparse(node.value))
    }
    return {
        statement.value.value
        for node in nodes
        if isinstance(node, ast.ClassDef) and node.name == "Event"
        for statement in node.body
        if isinstance(statement, ast.Assign) and statement.targets[0].id not in used
    }


@pytest.mark.asvs("16.1.1")
def test_every_event_column_and_logger_is_on_its_page():
    page = ROOT / "docs" / "events.md"
    events = " ".join(tag for tag, _ in cells(page, "Events of the audit trail"))
    loggers = " ".join(name for name, _ in cells(page, "Lines of the log"))
    columns = re.search(r"^## Columns of an event\n\n(.*?)\n\n", page.read_text(), re.DOTALL | re.MULTILINE)
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "getLogger(__name__)" in path.read_text()
    }

    assert set(re.findall(r"`([a-z:<>-]+)`", events)) == tags_of(*PACKAGES)
    assert {name for name in re.findall(r"`([a-z._]+)`", loggers) if name.startswith(PACKAGES)} == modules
    assert set(re.findall(r"`(\w+)`", columns[1])) == set(AuditEventReader.Meta.fields)


def test_the_page_of_scopes_has_those_of_every_app():
    told = {label: (scopes, roles) for label, scopes, roles in cells(PAGES / "scopes.md", "What holds")}

    for app in apps.get_app_configs():
        if hasattr(app, "scopes") or hasattr(app, "roles"):
            names = [", ".join(f"`{name}`" for name in kind) for kind in (app.scopes, app.roles)]
            assert told[f"`{app.label}`"] == tuple(names)


def test_the_readme_tells_what_each_directory_is():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    told = set(re.findall(r"^\| `(\w+)/` \|", (ROOT / "README.md").read_text(), re.MULTILINE))

    assert packages <= told


@pytest.mark.asvs("2.1.3")
def test_the_pages_name_every_limit_with_its_default():
    pages = "".join((PAGES / f"{name}.md").read_text() for name in ("throttling", "page-limits", "quotas"))
    told = dict(re.findall(r"`((?:THROTTLE|QUOTA)_[A-Z_]+)`,? `(\d+/\d+)`", pages))
    limits = {f"THROTTLE_{name}": rate for name, rate in production.THROTTLES.items()}
    limits |= {f"THROTTLE_PAGE_{name}": rate for name, rate in production.PAGE_LIMITS.items()}
    limits |= {f"QUOTA_{name}": rate for name, rate in production.QUOTAS.items()}

    assert told == {name.upper(): rate for name, rate in limits.items()}


def test_the_readmes_example_is_the_code():
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    for name in re.findall(r"\b(?:PolicyViewSet|Rule|Allow|TenantObjects|NoBody)\b", example):
        assert name in (ROOT / "security" / "policy.py").read_text()
