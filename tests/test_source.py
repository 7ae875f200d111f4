"""What the product's own source does not call. ruff's rules see some of it, where nobody silences them."""

import ast
import importlib
import pkgutil
import re
import time
from itertools import chain

import pytest
from django.conf import settings

from tests.asvs import ROOT

PACKAGES = [name for name in ("accounts", "config", "resources", "security") if (ROOT / name).is_dir()]
#: Without migrations: an operator runs them, once, and nothing of a request is in them.
PATHS = [
    path
    for path in sorted(chain.from_iterable((ROOT / name).rglob("*.py") for name in PACKAGES))
    if "migrations" not in path.parts
]

#: What no line of it may name, by the requirement. A dot at the end: whatever is in there.
FORBIDDEN = {
    "1.2.4": ("django.db.models.expressions.RawSQL", "*.raw", "*.extra"),
    "1.2.5": (
        "subprocess.",
        "os.system",
        "os.popen",
        "os.exec",
        "os.spawn",
        "pty.",
        "asyncio.create_subprocess",
    ),
    "1.3.2": ("eval", "exec", "compile", "__import__", "code.", "runpy.", "ctypes."),
    "1.3.7": ("django.template.Template", "django.template.Engine", "jinja2.", "*.from_string", "mako."),
    "1.5.1": ("xml.", "lxml.", "xmlrpc.", "defusedxml.", "rest_framework_xml."),
    "1.5.2": ("pickle.", "marshal.", "shelve.", "dill.", "jsonpickle.", "yaml.unsafe_load", "yaml.full_load"),
    "11.2.1": ("Crypto.", "nacl.", "rsa.", "ecdsa.", "jwt.", "jose.", "passlib.", "M2Crypto.", "pyaes."),
    "11.3.1": (
        "cryptography.fernet.",
        "cryptography.hazmat.primitives.ciphers.Cipher",
        "cryptography.hazmat.primitives.ciphers.modes",
        "cryptography.hazmat.primitives.ciphers.algorithms",
        "cryptography.hazmat.primitives.asymmetric.padding",
        "cryptography.hazmat.decrepit.",
    ),
    "11.4.1": ("hashlib.md5", "hashlib.sha1", "hashlib.new", "*.MD5", "*.SHA1"),
    "11.5.1": ("random.", "uuid.uuid1", "uuid.uuid3", "uuid.uuid4", "uuid.uuid5", "numpy.random"),
}
PLANTED = {
    "1.2.4": "Vendor.objects.raw(sql)",
    "1.2.5": "from os import system as s\ns(name)",
    "1.3.2": "eval(text)",
    "1.3.7": "import django.template as t\nt.Template(text)",
    "1.5.1": "from xml.etree import ElementTree\nElementTree.parse(body)",
    "1.5.2": "import pickle\npickle.loads(body)",
    "11.2.1": "from Crypto.Cipher import AES",
    "11.3.1": "from cryptography.hazmat.primitives.ciphers import Cipher, modes",
    "11.4.1": "import hashlib\nhashlib.md5(secret)",
    "11.5.1": "from random import choice\nchoice(letters)",
}


def named(tree):
    """Every dotted name that is imported or used, as its import spells it; methods as ``*.name`` too.

    A method without arguments reads something of its object; what is dangerous takes some.
    """
    origin = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                origin[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                yield f"{alias.name}."
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield f"{node.module}."
            for alias in node.names:
                origin[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and (node.args or node.keywords)
        ):
            yield f"*.{node.func.attr}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield origin.get(node.func.id, node.func.id)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in origin:
            yield f"{origin[node.value.id]}.{node.attr}"


def forbidden(tree, requirement):
    exact = {name for name in FORBIDDEN[requirement] if "." not in name or name.startswith("*")}
    prefixes = tuple(set(FORBIDDEN[requirement]) - exact)
    return {name for name in named(tree) if name in exact or name.startswith(prefixes)}


@pytest.fixture(scope="module")
def trees():
    return {path: ast.parse(path.read_text()) for path in PATHS}


@pytest.mark.parametrize(
    "requirement", [pytest.param(name, marks=pytest.mark.asvs(name)) for name in FORBIDDEN]
)
def test_it_names_nothing_dangerous(trees, requirement):
    assert len(trees) > 50
    found = {str(path.relative_to(ROOT)): forbidden(tree, requirement) for path, tree in trees.items()}

    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("requirement", FORBIDDEN)
def test_a_planted_one_is_found(requirement):
    assert forbidden(ast.parse(PLANTED[requirement]), requirement)


# --- what depends on the arguments ---


def is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def made_of_input(tree):
    """Statements, patterns, formats and module names that are put together where they are used."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and (node.arg or "").endswith("regex") and not is_text(node.value):
            yield "regex", ast.unparse(node)
        if not isinstance(node, ast.Call) or not node.args or not isinstance(node.func, ast.Attribute):
            continue
        first, method, on = node.args[0], node.func.attr, ast.unparse(node.func.value)
        if method == "execute" and on != "schema_editor" and isinstance(first, ast.JoinedStr):
            yield "statement", ast.unparse(node)
        if (
            method in {"format", "format_map"}
            and not on.startswith(("sql.", "string"))
            and not is_text(node.func.value)
        ):
            yield "format", ast.unparse(node)
        if on == "re" and method != "escape" and not is_text(first):
            yield "pattern", ast.unparse(node)


@pytest.mark.asvs("1.2.4", "1.2.9", "1.3.10")
def test_no_statement_pattern_or_format_is_made_of_input(trees):
    found = {entry for tree in trees.values() for entry in made_of_input(tree)}

    assert found <= {
        # Of constants alone: a number of digits, the documented patterns, a parser's own media type.
        ("pattern", "re.fullmatch(f'[0-9]{{{CODE_DIGITS}}}', code)"),
        ("pattern", "re.compile(PATTERN)"),
        ("pattern", "re.fullmatch(re.escape(self.media_type) + PARAMETERS, media_type or '', re.IGNORECASE)"),
        # Of the document that is being made.
        ("pattern", "re.search(schema.get('pattern', ''), sample)"),
    }


@pytest.mark.parametrize(
    "source",
    [
        "cursor.execute(f'SELECT {name}')",
        "rows.filter(name__regex=text)",
        "message.format(request)",
        "re.search(text, name)",
    ],
)
def test_a_planted_one_made_of_input_is_found(source):
    assert list(made_of_input(ast.parse(source)))


# --- comparing ---

SECRET = re.compile(r"digest\(|(^|[._])(mac|signature|secret|password|token|digest|jkt)$")


def compared_in_varying_time(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            sides = (node.left, *node.comparators)
            if any(SECRET.search(ast.unparse(side)) for side in sides) and not any(
                isinstance(side, ast.Constant) for side in sides
            ):
                yield ast.unparse(node)


@pytest.mark.asvs("11.2.4")
def test_no_secret_is_compared_in_varying_time(trees):
    assert {text for tree in trees.values() for text in compared_in_varying_time(tree)} == set()


@pytest.mark.parametrize("source", ["hmac.digest(key, message, 'sha256') == sent", "self.token != token"])
def test_a_planted_comparison_is_found(source):
    assert list(compared_in_varying_time(ast.parse(source)))


# --- patterns ---

ADVERSARIES = [
    unit * (50_000 // len(unit)) + end
    for unit in (
        "a",
        "0",
        "-",
        "a@",
        "a.",
        "https://",
        "Bearer ",
        "q=0",
        "0.",
        "aA0_",
        " ",
        '"',
        "a-0:",
        "<a:",
    )
    for end in ("", "\n", "!", "\x00")
]


def patterns():
    for package in PACKAGES:
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            if ".migrations" in found.name or found.name.startswith(("config.settings.", "config.asgi")):
                continue
            for name, value in vars(importlib.import_module(found.name)).items():
                several = value if isinstance(value, list | tuple) else [value]
                for each in several:
                    if isinstance(each, re.Pattern):
                        yield f"{found.name}.{name}", each


@pytest.mark.asvs("1.3.12")
def test_no_pattern_takes_long_whatever_it_is_given():
    """50,000 characters; what more than doubles with the length would take minutes."""
    found = dict(patterns())
    assert len(found) > 15
    for name, pattern in found.items():
        for text in ADVERSARIES:
            started = time.perf_counter()
            pattern.fullmatch(text)
            assert time.perf_counter() - started < 1, (name, text[:20])


# --- pages ---

SCRIPTS = sorted(
    chain.from_iterable(
        (ROOT / name).rglob(kind) for name in PACKAGES for kind in ("static/**/*.js", "templates/**/*.html")
    )
)


@pytest.mark.asvs("14.3.3")
def test_no_page_keeps_anything_in_the_browser():
    assert len(SCRIPTS) > 20
    for path in SCRIPTS:
        assert not re.search(
            r"localStorage|sessionStorage|indexedDB|document\.cookie|caches\.", path.read_text()
        ), path
    assert settings.SESSION_COOKIE_HTTPONLY


@pytest.mark.asvs("1.5.2")
def test_what_is_stored_and_read_back_is_json():
    assert settings.SESSION_SERIALIZER == "django.contrib.sessions.serializers.JSONSerializer"
