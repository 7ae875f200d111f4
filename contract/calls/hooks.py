"""What schemathesis cannot know: which objects there are, and what the business asks for beyond the schema.

A call whose path id was generated as a valid one gets the id of an object on which the operation can succeed,
and a valid body gets what the example of the operation has for its references. The objects come from the
contract tests' examples (tests/<app>/examples.py), so a new resource is covered without a line here. Calls of
the stateful phase follow their own links and keep them.

Loaded by schemathesis, in a process that is connected as the owner of the tables: it arranges, the service
is judged. Environment: CONTRACT_ROLE, and CONTRACT_REPORT for the counts.
"""

import atexit
import json
import os
import re
import secrets
import threading
import unicodedata
import uuid
from collections import Counter, defaultdict
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import django

django.setup()

import schemathesis  # noqa: E402  after setup: models come with it
from django.utils import timezone  # noqa: E402  after setup
from schemathesis.core import NOT_SET  # noqa: E402  after setup
from schemathesis.core.parameters import ParameterLocation  # noqa: E402  after setup

from accounts.me import OwnObjects  # noqa: E402  after setup
from security.identifiers import canonical_uuid  # noqa: E402  after setup
from security.strict_input import INVISIBLE, JOINERS, REFUSED_CATEGORIES  # noqa: E402  after setup
from tests import factories  # noqa: E402  after setup
from tests.contract.walk import Call, Operation, Team, example, operations  # noqa: E402  after setup

ROLE = os.environ["CONTRACT_ROLE"]
#: Outlives the run, and is recent enough for every step-up in it.
LIFETIME = timedelta(hours=12)
PHASES_THAT_KEEP_THEIR_LINKS = {"stateful"}

counts: dict[str, Counter[str]] = defaultdict(Counter)
lock = threading.Lock()
#: An operation in which nothing varies is generated once a phase: it is called so often more, and judged.
REPEATS = 25
repeated: set[str] = set()
#: Fields with a checksum, which no schema can state.
CHECKED = frozenset({"iban", "tax_id"})
#: Public ids in answers: they exist, and the stateful phase may go on with them.
IDS = re.compile(r'"id":"([0-9a-f-]{36})"')
seen: set[str] = set()


class Caller(Team):  # type: ignore[misc]  # of the tests, which are not typed
    """A team of whom one person calls: who asks for the owner of a thing of their own gets that one."""

    def __init__(self) -> None:
        super().__init__()
        self.caller = self.user(ROLE)
        self.token = factories.token(
            self.caller, self.organisation, lifetime=LIFETIME, auth_time=timezone.now() + LIFETIME, acr="aal2"
        )

    def members(self) -> set[str]:
        """Public ids of the team's memberships, which have to stay."""
        people = list(self.users.values())
        return {str(m.public_id) for person in people for m in person.memberships.all()}


# The roles run side by side, in one database: their rows are numbered apart.
factories.number = count(1 + secrets.randbelow(1_000_000) * 1_000_000)
team = Caller()
known = {operation.name: operation for operation in operations()}
#: Operation → an example that was not used up yet.
unused: dict[str, Call] = {}


def permitted(operation: Operation) -> bool:
    return any(ROLE in way.roles for way in operation.rule.allow)


def good_call(operation: Operation) -> Call:
    """An example on which ``ROLE`` can succeed, if anybody of that role can."""
    if operation.name not in unused:
        call = example(operation, team)
        if call.target is not None:
            suit(operation, call.target)
        unused[operation.name] = call
    return unused[operation.name]


def suit(operation: Operation, target: Any) -> None:
    """Make ``target`` the caller's own, and of a state in which the role may act, where that matters."""
    if isinstance(operation.rule.objects, OwnObjects):
        target.user = team.caller
        target.save(update_fields=["user"])
    ways = [way.states for way in operation.rule.allow if ROLE in way.roles]
    if ways and None not in ways and not any(target.status in states for states in ways if states):
        target.status = sorted(ways[0] or ())[0]
        target.save(update_fields=["status"])


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    if case.method.upper() in {"GET", "HEAD"}:
        case.body = NOT_SET  # on a route without the method: a body would be 400 before it is 405
    operation = known.get(f"{case.operation.method.upper()} {case.operation.path}")
    if operation is None or case.meta is None:
        return
    keeps_links = case.meta.phase.name.value in PHASES_THAT_KEEP_THEIR_LINKS
    with lock:
        path = case.path_parameters or {}
        valid = "id" in path and not case.meta.is_negative_at(ParameterLocation.PATH)
        if valid and (not keeps_links or path["id"] in team.members()):
            case.path_parameters["id"] = str(good_call(operation).target.public_id)
        if not case.meta.is_negative_at(ParameterLocation.BODY) and isinstance(case.body, dict):
            case.body = sensible(operation, case.body)
        if not case.meta.is_negative_at(ParameterLocation.QUERY) and case.query:
            case.query = {name: _speakable(value) for name, value in case.query.items()}
        supply_headers(operation, case)


def sensible(operation: Operation, body: dict[str, Any]) -> dict[str, Any]:
    """``body`` with references that exist, days in order, and without what no schema can exclude."""
    found = {name: _whole(_speakable(value)) for name, value in body.items()}
    for name, value in found.items():
        if (_is_uuid(value) and value not in seen) or name in CHECKED:
            found[name] = sample(operation, name) or value
    days = sorted(name for name in found if name.endswith("_date") and isinstance(found[name], str))
    if len(days) == 1:
        del found[days.pop()]  # whether it is in order depends on the object's other day
    # In order of name, "due" comes before "issue".
    found |= dict(zip(days, sorted((found[day] for day in days), reverse=True), strict=True))
    if "number" in found and not any(character.isalnum() for character in str(found["number"])):
        found["number"] = f"N{found['number']}"[:64].rstrip()
    return found


def sample(operation: Operation, name: str) -> Any:
    """What the field ``name`` may be: as in the operation's own example, or in that of another."""
    for each in (operation, *known.values()):
        body = good_call(each).body if each.method in {"POST", "PATCH"} else None
        if isinstance(body, dict) and name in body:
            return body[name]
    return None


def supply_headers(operation: Operation, case: Any) -> None:
    """A fresh idempotency key, and the version that the object has now, where the operation takes them."""
    declared = {p.name.lower() for p in case.operation.headers if p.is_required}
    if case.meta.is_negative_at(ParameterLocation.HEADER):
        return
    if "idempotency-key" in declared and "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = f'"{uuid.uuid4()}"'
    public_id = canonical_uuid((case.path_parameters or {}).get("id"))
    if "if-match" in declared and "If-Match" in (case.headers or {}) and public_id is not None:
        rows = operation.view.cls.queryset.model.objects.filter(public_id=public_id)
        for version in rows.values_list("version", flat=True):
            case.headers["If-Match"] = f'"{version}"'


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    name = f"{case.operation.method.upper()} {case.operation.path}"
    if response.request.method != case.operation.method.upper():
        return  # the coverage phase tries methods that are not there
    with lock:
        counts[name][str(response.status_code)] += 1
        if response.status_code < 300:
            unused.pop(name, None)
            seen.update(IDS.findall(response.text))
        first = name not in repeated and response.status_code < 300 and not varies(case.operation)
        if first:
            repeated.add(name)
    if first:
        for _ in range(REPEATS):
            case.call_and_validate(session=None)


def varies(operation: Any) -> bool:
    """Whether there is anything to generate for it."""
    return bool(list(operation.iter_parameters())) or bool(operation.body)


def _speakable(value: Any) -> Any:
    """A text without refused characters, of which no pattern can name all: those not assigned."""
    if not isinstance(value, str) or value.isascii():
        return value
    kept = "".join(
        character
        for character in value
        if character in JOINERS
        or (character not in INVISIBLE and unicodedata.category(character) not in REFUSED_CATEGORIES)
    )
    return kept.strip() or "x"


def _whole(value: Any) -> Any:
    """An integer as one: to JSON Schema 1.0 is an integer, and the service wants it written 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(uuid.UUID(value))
    except ValueError:
        return False


def report() -> None:
    needed = sorted(name for name, operation in known.items() if permitted(operation))
    Path(os.environ["CONTRACT_REPORT"]).write_text(json.dumps({"counts": counts, "needed": needed}))


atexit.register(report)


@schemathesis.auth()
class Bearer:
    """The caller's token, which outlives the run."""

    def get(self, case: Any, context: Any) -> str:
        return str(team.token)

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}
