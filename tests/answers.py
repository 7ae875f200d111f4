"""Every answer of a test run is looked at: is it the one that the document promises, and does it leak?

``watch()`` hangs this into Django's test clients and into the HTTP clients of the served tests
(tests/conftest.py). An answer with a fault raises there and then, and whoever catches that fails at the end
of the test all the same. What is looked for:

- ``/v1``: the operation is documented with this status, and the body is what its schema says; whatever is no
  operation is a problem. The document is made of the running code; that ``openapi.yaml`` is that document,
  ``make check`` holds.
- everywhere: internal keys; stored secrets and digests, collected as rows are saved; the service's own keys
  and passwords; the credentials of the request, given back; values of a refused request, given back;
  tracebacks, SQL, password hashes, private keys; account numbers that are not masked.
"""

import http.client
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import jsonschema_rs
from django.apps import apps
from django.conf import settings
from django.core.signals import setting_changed
from django.db.models import Model
from django.db.models.signals import post_save
from django.test import RequestFactory
from drf_spectacular.generators import SchemaGenerator

PROBLEM = "application/problem+json"
READ = {"application/json", PROBLEM, "text/html", "text/plain"}
#: A secret shorter than this is found in too much that is none.
MIN_SECRET = 12
MIN_RUN = 16
#: Unbroken pieces of text, as tokens, digests and ciphertexts are.
RUN = re.compile(rf"[A-Za-z0-9_+/=-]{{{MIN_RUN},}}")
#: Names of settings and variables that hold secrets, and of columns that hold them or what is made of them.
SECRET_NAME = re.compile(r"SECRET|SIGNING|PASSWORD|KEYRING|(^|_)KEYS?$|TOKEN$|CREDENTIAL", re.IGNORECASE)
SECRET_COLUMN = re.compile(
    r"password|secret|digest|checksum|session_key|session_data|cipher|sealed|(^|_)hash$|blind|^(code|reference)$"
)
#: Names that look like the above, and are not secret.
NOT_SECRET = {"PASSWORD_RESET_TIMEOUT", "CSRF_HEADER_NAME", "SESSION_COOKIE_NAME"}
NEVER = {
    "a password hash": re.compile(r"\b(argon2\w*|md5|scrypt|bcrypt\w*|pbkdf2_\w+|client_secret_sha256)\$"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a URL with a password": re.compile(r"\b\w+://[^/\s:@\"']+:[^/\s@\"']+@"),
    "a traceback": re.compile(r"Traceback \(most recent call|File \\?\"[^\"]+\", line \d+|/site-packages/"),
    "SQL": re.compile(
        r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\b.*\b(FROM|VALUES|SET|WHERE)\b|psycopg|DETAIL:  "
    ),
}
#: Of the API alone: pages have style and script hashes.
DIGEST = re.compile(r"(?<![0-9a-f-])[0-9a-f]{64}(?![0-9a-f])")
INTERNAL_KEY = re.compile(r"(^|_)(id|pk)$|[a-z]Id$")
#: name → the values in a text that should have been masked. ``security`` modules that mask add theirs here.
UNMASKED: dict[str, Callable[[str], Iterable[str]]] = {}
#: Columns whose value, in clear, is for those operations alone that REVEALS of tests/<app>/examples.py names:
#: "METHOD /route" → why its answer may hold it.
SENSITIVE_COLUMN = re.compile(r"^(iban|tax_id|account_number|card_number)$")


class Fault(AssertionError):  # noqa: N818  what it says is of the answer, not of the code
    """An answer that must not be given."""


class Secrets:
    """What the run has stored or been started with. Membership is asked of runs of characters."""

    def __init__(self) -> None:
        self.runs: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.sensitive: dict[str, str] = {}

    def add(self, value: object, what: str) -> None:
        for part in value if isinstance(value, list | tuple) else [value]:
            if not isinstance(part, str) or len(part) < MIN_SECRET:
                continue
            runs = RUN.findall(part)
            self.runs.update(dict.fromkeys(runs, what))
            if not runs:
                self.texts[part] = what

    def add_settings(self) -> None:
        for name in os.environ:
            if SECRET_NAME.search(name):
                self.add(os.environ[name], f"the variable {name}")
        for name in dir(settings):
            self.add_setting(name, getattr(settings, name))

    def add_setting(self, name: str, value: object) -> None:
        if name.startswith("DATABASE"):
            databases = value.values() if name == "DATABASES" and isinstance(value, dict) else [value]
            for database in databases:
                if isinstance(database, dict):
                    self.add(database.get("PASSWORD"), f"the password of {name}")
        elif SECRET_NAME.search(name) and name not in NOT_SECRET and not name.startswith("AUTH_PASSWORD"):
            self.add(value, f"the setting {name}")

    def add_row(self, instance: Model) -> None:
        for field in instance._meta.concrete_fields:
            value = instance.__dict__.get(field.attname)
            if not isinstance(value, str):
                continue
            if SECRET_COLUMN.search(field.name):
                self.add(value, f"{instance._meta.label}.{field.name}")
            elif SENSITIVE_COLUMN.search(field.name) and len(value) >= 8:
                self.sensitive[_compact(value)] = f"{instance._meta.label}.{field.name}"


#: Plain HTTP, of which the document, of an https service, says nothing.
BEFORE_OPERATIONS = {403}


class Document:
    """The OpenAPI document, with its schemas compiled."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.components = document.get("components", {})
        self.paths = [
            (re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))), template, operations)
            for template, operations in document["paths"].items()
        ]
        self.validators: dict[tuple[str, str, str], Any] = {}

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        """("METHOD /route", operation), or None for what is none."""
        method = "get" if method == "HEAD" else method.lower()
        for pattern, template, operations in self.paths:
            if method in operations and pattern.fullmatch(path):
                return f"{method.upper()} {template}", operations[method]
        return None

    def faults(self, call: "Call", *, broken: bool = False) -> Iterator[str]:
        found = self.operation(call.method, call.path)
        if found is None:
            if call.status < 400:
                yield "it is no operation of the document"
            yield from self._problem(call)
            return
        name, operation = found
        if call.status in BEFORE_OPERATIONS and "ratelimit" not in call.headers:
            yield from self._problem(call)
            return
        response = operation["responses"].get(str(call.status))
        if response is None:
            if broken and call.status == 500:
                yield from self._problem(call)
                return
            yield f"{name} is not documented with {call.status}"
            if call.status >= 400:
                yield from self._problem(call)
            return
        yield from self._headers(name, call, response.get("headers", {}))
        content = response.get("content", {})
        if call.method == "HEAD":
            return
        if not content:
            if call.body:
                yield f"{name} has a body with {call.status}, and the document none"
        elif call.media_type not in content:
            yield f"{name} answers {call.media_type or 'no type'}, and the document says {', '.join(content)}"
        else:
            schema = content[call.media_type]["schema"]
            yield from self._validate((name, str(call.status), "body"), schema, call.document)

    def _problem(self, call: "Call") -> Iterator[str]:
        if call.method != "HEAD" and call.media_type != PROBLEM:
            yield f"{call.status} is no problem, but {call.media_type or 'of no type'}"
        elif call.method != "HEAD":
            schema = {"$ref": "#/components/schemas/Problem"}
            yield from self._validate(("", "", "problem"), schema, call.document)

    def _headers(self, name: str, call: "Call", documented: dict[str, Any]) -> Iterator[str]:
        for header, described in documented.items():
            if "$ref" in described:
                described = self.components["headers"][described["$ref"].rpartition("/")[2]]
            value: Any = call.headers.get(header.lower())
            if value is None:
                if described.get("required"):
                    yield f"{name} lacks the header {header}"
                continue
            if described["schema"].get("type") == "integer" and value.isdigit():
                value = int(value)
            yield from self._validate((name, str(call.status), header), described["schema"], value)

    def _validate(self, key: tuple[str, str, str], schema: Any, value: Any) -> Iterator[str]:
        if key not in self.validators:
            whole = {**schema, "components": self.components}
            self.validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        for error in self.validators[key].iter_errors(value):
            # Without the value: this is printed where others read.
            yield (
                f"{' '.join(key)}: /{'/'.join(map(str, error.instance_path))} is off the schema at "
                + "/".join(map(str, error.schema_path))
            )


class Call:
    """One request and its answer. ``sent`` are the request's headers, names in lower case."""

    def __init__(
        self,
        method: str,
        target: str,
        sent: dict[str, str],
        payload: bytes,
        status: int,
        headers: list[tuple[str, str]],
        body: bytes,
    ) -> None:
        self.method, self.status, self.body, self.payload = method, status, body, payload
        self.path, _, self.query = target.partition("?")
        self.sent = sent
        self.header_list = headers
        self.headers = {name.lower(): value for name, value in headers}

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0]

    @cached_property
    def document(self) -> Any:
        return json.loads(self.body) if self.body else None

    @cached_property
    def text(self) -> str:
        """The body and the headers, without the cookies that are being given out."""
        lines = [f"{name}: {value}" for name, value in self.header_list if name.lower() != "set-cookie"]
        body = self.body.decode("utf-8", "replace") if self.media_type in READ else ""
        return "\n".join([*lines, body])

    def credentials(self) -> Iterator[tuple[str, str]]:
        """What the caller proved itself with: never to be given back."""
        scheme, _, credentials = self.sent.get("authorization", "").partition(" ")
        if scheme.lower() in {"bearer", "dpop", "basic"}:
            yield credentials.strip(), "the request's Authorization"
        yield self.sent.get("dpop", ""), "the request's DPoP"
        for cookie in self.sent.get("cookie", "").split(";"):
            yield cookie.partition("=")[2].strip(), "the request's Cookie"

    def refused_values(self) -> Iterator[str]:
        """The strings of a request to the API that was refused."""
        yield from (value for _, value in parse_qsl(self.query))
        try:
            pending = [json.loads(self.payload)] if self.payload else []
        except (ValueError, RecursionError):
            return
        while pending:
            value = pending.pop()
            if isinstance(value, dict):
                pending.extend(value.values())
            elif isinstance(value, list):
                pending.extend(value)
            elif isinstance(value, str):
                yield value


class Watch:
    """The looking itself: what was seen, and what was found."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.secrets = Secrets()
        self.reveals = reveals()
        self.faults: list[str] = []
        #: Whether the test breaks the service on purpose: 500 is what it is about, and documented nowhere.
        self.broken = False
        self.answers = 0
        self.seconds = 0.0

    def look(self, call: Call) -> None:
        """Raises Fault."""
        started = time.thread_time()
        found = list(dict.fromkeys(self._faults(call)))
        self.seconds += time.thread_time() - started
        self.answers += 1
        if found:
            fault = f"{call.method} {call.path} answered {call.status}: " + "; ".join(found[:10])
            self.faults.append(fault)
            raise Fault(fault)

    def _faults(self, call: Call) -> Iterator[str]:
        api = call.path.startswith("/v1/")
        if api and settings.ROOT_URLCONF == "config.urls":
            yield from self.document.faults(call, broken=self.broken)
        if call.media_type not in READ and call.body:
            return
        yield from self._leaks(call)
        if call.media_type in {"application/json", PROBLEM}:
            yield from _internal_keys(call.document)
        if api:
            if any(len(set(found)) > 4 for found in DIGEST.findall(call.text)):  # not one letter all over
                yield "it holds a digest"
            if call.status >= 400:
                for value in call.refused_values():
                    if len(value) >= MIN_SECRET and value in call.text:
                        yield "it repeats a value of the refused request"

    def _leaks(self, call: Call) -> Iterator[str]:
        for run in RUN.findall(call.text):
            if run in self.secrets.runs:
                yield f"it holds {self.secrets.runs[run]}"
        for text, what in list(self.secrets.texts.items()):  # others may add to them meanwhile
            if text in call.text:
                yield f"it holds {what}"
        for value, what in call.credentials():
            if len(value) >= MIN_SECRET and value in call.text:
                yield f"it gives back {what}"
        for what, pattern in NEVER.items():
            if pattern.search(call.text):
                yield f"it holds {what}"
        operation = self.document.operation(call.method, call.path)
        if operation is not None and operation[0] in self.reveals and call.status < 300:
            return
        if call.path.startswith("/docs"):
            return  # its examples are nobody's
        if self.secrets.sensitive:
            compact = _compact(call.text)
            for value, what in list(self.secrets.sensitive.items()):
                if value in compact:
                    yield f"it holds {what} unmasked"
        for what, find in UNMASKED.items():
            if any(find(call.text)):
                yield f"it holds {what} unmasked"


def account_numbers(text: str) -> Iterator[str]:
    """What has an IBAN's form and check digits, grouped or not. ISO 13616."""
    for found in re.finditer(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b", text):
        number = found[0].replace(" ", "")
        digits = "".join(str(int(character, 36)) for character in number[4:] + number[:4])
        if len(number) >= 15 and int(digits) % 97 == 1:
            yield number


UNMASKED["an account number"] = account_numbers


def reveals() -> dict[str, str]:
    """The REVEALS of every app's examples."""
    found: dict[str, str] = {}
    for module in example_modules():
        found.update(getattr(module, "REVEALS", {}))
    return found


def example_modules() -> Iterator[ModuleType]:
    """``tests/<app>/examples.py`` of every app that has one."""
    for config in apps.get_app_configs():
        module = f"tests.{config.name}.examples"
        if find_spec(f"tests.{config.name.split('.')[0]}") and find_spec(module):
            yield import_module(module)


def _compact(text: str) -> str:
    return text.replace(" ", "").upper()


def _internal_keys(document: Any) -> Iterator[str]:
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            for name, child in value.items():
                whole = isinstance(child, int) and not isinstance(child, bool)
                if INTERNAL_KEY.search(name) and (whole or (isinstance(child, str) and child.isdigit())):
                    yield f"{name} is an internal key"
                pending.append(child)


#: Ports of 127.0.0.1 behind which tests serve this service.
LIVE_PORTS: set[int] = set()


@contextmanager
def watch() -> Iterator[Watch]:
    """For the length of the block, every answer is looked at."""
    generator = SchemaGenerator(urlconf="config.urls")  # type: ignore[no-untyped-call]  # the library's own lack
    seen = Watch(Document(generator.get_schema(public=True)))  # type: ignore[no-untyped-call]  # as above
    seen.secrets.add_settings()

    def row_saved(instance: Model, **kwargs: Any) -> None:
        seen.secrets.add_row(instance)

    def setting_set(setting: str, value: object, **kwargs: Any) -> None:
        seen.secrets.add_setting(setting, value)

    post_save.connect(row_saved)
    setting_changed.connect(setting_set)
    try:
        with _django(seen), _http(seen):
            yield seen
    finally:
        post_save.disconnect(row_saved)
        setting_changed.disconnect(setting_set)


@contextmanager
def _django(seen: Watch) -> Iterator[None]:
    """Into the test clients: they all send through ``generic``; so does the factory of bare requests."""
    original = RequestFactory.generic

    def generic(self: Any, method: str, path: str, data: Any = "", *args: Any, **kwargs: Any) -> Any:
        response = original(self, method, path, data, *args, **kwargs)
        if not hasattr(response, "status_code") or response.streaming:
            return response
        meta = response.wsgi_request.META
        sent = {
            name[5:].lower().replace("_", "-"): str(value)
            for name, value in meta.items()
            if name.startswith("HTTP_")
        }
        target = f"{meta['PATH_INFO']}?{meta['QUERY_STRING']}"
        payload = data if isinstance(data, bytes) else str(data).encode("utf-8", "replace")
        headers = list(response.headers.items())
        seen.look(Call(method, target, sent, payload, response.status_code, headers, response.content))
        return response

    RequestFactory.generic = generic  # type: ignore[method-assign]  # to look in passing
    try:
        yield
    finally:
        RequestFactory.generic = original  # type: ignore[method-assign]  # as it was


@contextmanager
def _http(seen: Watch) -> Iterator[None]:
    """Into http.client, which requests and urllib are made of, for what is served on LIVE_PORTS."""
    putrequest, putheader = http.client.HTTPConnection.putrequest, http.client.HTTPConnection.putheader
    getresponse = http.client.HTTPConnection.getresponse

    def note_request(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        self.sent = (method, url, {})
        putrequest(self, method, url, *args, **kwargs)

    def note_header(self: Any, header: Any, *values: Any) -> None:
        name, text = (
            part.decode("latin-1") if isinstance(part, bytes) else str(part) for part in (header, values[0])
        )
        self.sent[2][name.lower()] = text
        putheader(self, header, *values)

    def look(self: Any, *args: Any, **kwargs: Any) -> Any:
        response = getresponse(self, *args, **kwargs)
        if self.port in LIVE_PORTS:
            body = response.read()
            headers = response.getheaders()
            # To be read once more, by the test, and no longer in pieces.
            response.fp, response.length, response.chunked = io.BytesIO(body), len(body), False
            del response.msg["Transfer-Encoding"]
            method, url, sent = self.sent
            target = unquote_plus(urlsplit(url).path) + "?" + urlsplit(url).query
            seen.look(Call(method, target, sent, b"", response.status, headers, body))
        return response

    originals = {"putrequest": putrequest, "putheader": putheader, "getresponse": getresponse}
    patched = {"putrequest": note_request, "putheader": note_header, "getresponse": look}
    for name, function in patched.items():
        setattr(http.client.HTTPConnection, name, function)
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(http.client.HTTPConnection, name, original)
