"""What the contract tests walk: every API operation of the URLconf, and one good request for each.

An app's good requests are in ``tests/<app>/examples.py``: ``EXAMPLES`` maps "METHOD /route" to a function
of a ``Team`` that gives the ``Call``. An operation without one fails, so a new route is covered unasked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import uuid4

import guardian.shortcuts
from drf_spectacular.generators import SchemaGenerator

from accounts.models import Organisation, User
from security.object_permissions import grant_models
from security.policy import Rule, walk_routes
from security.scopes import CONTACT_ROLE, all_roles
from tests import factories
from tests.answers import example_modules
from tests.clients import Api

UNKNOWN = "01a20b51-1e4c-77a9-81e6-aaeaf2d023ae"


@dataclass(frozen=True)
class Operation:
    method: str
    route: str
    action: str
    view: Any

    @property
    def name(self) -> str:
        return f"{self.method} {self.route}"

    @property
    def rule(self) -> Rule:
        return self.view.cls.rules[self.action]

    def path(self, public_id: object = UNKNOWN) -> str:
        return self.route.replace("{id}", str(public_id))


@dataclass(frozen=True)
class Call:
    """A request that succeeds: as whom, on which object, with which body.

    ``target`` is what the route's id names, ``through`` what is shared with a contact who shall see it, if
    not the target itself. ``owner`` is the person who made it, or whose it is.
    """

    role: str
    target: Any = None
    body: Any = None
    through: Any = None

    @property
    def owner(self) -> Any:
        return getattr(self.target, "created_by", None) or getattr(self.target, "user", None)

    @property
    def shared(self) -> Any:
        """What a grant is made on, or None where nothing like it can be shared."""
        thing = self.through or self.target
        try:
            return thing if thing is not None and grant_models(type(thing)) else None
        except LookupError:
            return None


@dataclass
class Team:
    """An organisation with a member for each role, and their callers."""

    organisation: Organisation = field(default_factory=factories.organisation)
    users: dict[str, User] = field(default_factory=dict)
    apis: dict[str, Api] = field(default_factory=dict)

    def user(self, role: str) -> User:
        if role not in self.users:
            self.users[role] = factories.member(role, self.organisation)
        return self.users[role]

    def api(self, role: str) -> Api:
        if role not in self.apis:
            self.apis[role] = Api(factories.token(self.user(role), self.organisation))
        return self.apis[role]

    def contact_of(self, shared: Any) -> Api:
        """A contact with whom ``shared`` is shared, and nothing else."""
        contact = factories.member(CONTACT_ROLE, self.organisation)
        guardian.shortcuts.assign_perm(f"view_{shared._meta.model_name}", contact, shared)
        return Api(factories.token(contact, self.organisation))

    def everybody(self) -> Iterator[Api]:
        """A caller of each role, then a service client. The contact among them was shared nothing."""
        for role in all_roles():
            yield self.api(role)
        client = factories.service_client(self.organisation, self.user("org_admin"), secret="s" * 64)
        yield Api(factories.token(None, self.organisation, client=client))


def operations() -> list[Operation]:
    """Every API operation, in order of name."""
    found = [
        Operation(method.upper(), "/" + route.replace("<str:id>", "{id}"), action, view)
        for route, view in walk_routes()
        for method, action in getattr(view, "actions", {}).items()
        if method != "head"
    ]
    return sorted(found, key=lambda operation: operation.name)


def examples() -> dict[str, Callable[[Team], Call]]:
    found: dict[str, Callable[[Team], Call]] = {}
    for module in example_modules():
        found.update(module.EXAMPLES)
    return found


def example(operation: Operation, team: Team) -> Call:
    known = examples()
    assert operation.name in known, f"{operation.name} needs an entry in EXAMPLES of tests/<app>/examples.py"
    return known[operation.name](team)


def header_parameters(operation: Operation, team: Team, call: Call) -> dict[str, str]:
    """What the document asks of the request's headers, as the test client's keyword arguments."""
    documented = documented_operation(operation).get("parameters", [])
    asked = {parameter["name"].lower() for parameter in documented if parameter["in"] == "header"}
    found = {}
    if "idempotency-key" in asked:
        found["HTTP_IDEMPOTENCY_KEY"] = f'"{uuid4()}"'
    if "if-match" in asked and call.target is not None:
        # As the object is read, by somebody who may.
        item = operation.route[: operation.route.index("{id}") + len("{id}")]
        reading = next(each for each in operations() if each.name == f"GET {item}")
        role = next(role for way in reading.rule.allow for role in sorted(way.roles) if role in all_roles())
        found["HTTP_IF_MATCH"] = (
            team.api(role).get(reading.path(call.target.public_id)).headers.get("ETag", '"1"')
        )
    return found


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document of the running code."""
    made: dict[str, Any] = SchemaGenerator(urlconf="config.urls").get_schema(public=True)
    return made


def documented_operation(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = document()["paths"][operation.route][operation.method.lower()]
    return found


def perform(operation: Operation, team: Team, call: Call) -> Any:
    public_id = call.target.public_id if call.target is not None else UNKNOWN
    return team.api(call.role).send(operation.method, operation.path(public_id), call.body)
