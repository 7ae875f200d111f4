"""Policy: every action of every view declares who may do it, and nothing runs undeclared.

Threat: a route that somebody forgot to protect; a check that one method has and its sibling lacks.
Guarantee: a view is a ``PolicyViewSet`` whose ``rules`` hold one ``Rule`` per action, naming scope, roles,
object rule, throttle and serializers. The same declaration drives the checks at run time and the OpenAPI
document. A route without one, or with an incomplete one, is a system-check error, and
``config/startup.py`` ends the process on it under any server. Views that are not API (sign-in, OAuth
endpoints, health) are opted out one by one with ``exempt_from_policy`` and a reason.

Order of a request: authenticate (one statement, which also sets the tenant) → limits (one Valkey command;
the address alone where no caller is known, and for a 405) → sunset → scope and role → step-up → strict
query → the form of the preconditions → a stored answer, or the handler, which sees only rows that the object
rule admits. An object that the caller cannot see is 404 before a missing scope or role is 403.

OWASP API1:2023, API5:2023. ASVS 8.1.1, 8.2.1, 8.2.2, 8.3.1.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, cast

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import SuspiciousOperation
from django.db.models import Model, QuerySet
from rest_framework import exceptions, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSetMixin

from security import idempotency, preconditions, throttling
from security.client_ip import client_address, throttle_key
from security.errors import (
    DependencyUnavailable,
    InsufficientScope,
    InvalidProof,
    RoleNotPermitted,
    StateConflict,
    TooManyRequests,
)
from security.field_access import check_write
from security.identifiers import parse_public_id
from security.inventory import Deprecated
from security.inventory import walk_routes as walk_routes  # those who ask about rules find it here
from security.object_permissions import ObjectRule
from security.pagination import PageQuery, PageRequest, paginate
from security.scopes import CONTACT_ROLE, SERVICE_ROLE, Access, all_roles, all_scopes
from security.step_up import StepUp
from security.strict_input import (
    QuerySerializer,
    StrictModelSerializer,
    StrictSerializer,
    merge_patch,
    parse_query,
)

WRITING_METHODS = frozenset({"post", "put", "patch"})

#: What a route may give a view beside its actions: how routers and schemas name it. Whatever else it gave,
#: such as other rules, would be in force and neither checked nor documented.
OF_ROUTES = frozenset({"basename", "description", "detail", "name", "suffix"})
#: What a view is made of, beside handlers and helpers of its own.
OPEN = OF_ROUTES | {"filter_queryset", "list", "parent", "queryset", "retrieve", "rules", "schema"}

#: Said at once: Django's own caches keep what does not say it. Outside of them, security.headers says more.
PRIVATE = {"Cache-Control": "private"}

ViewT = TypeVar("ViewT", bound=Callable[..., Any])


class NoBody(StrictSerializer):
    """The body of an action that takes none: absent or ``{}``."""


@dataclass(frozen=True, slots=True)
class Allow:
    """One way to be allowed: this scope, one of these roles and, where given, the object in these states."""

    scope: str
    roles: frozenset[str]
    states: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The declaration of one action."""

    allow: tuple[Allow, ...]
    objects: ObjectRule
    throttle: str
    response: type[BaseSerializer[Any]] | None
    request: type[StrictSerializer | StrictModelSerializer[Any]] | None = None
    query: type[QuerySerializer] | None = None
    status: int = status.HTTP_200_OK
    step_up: StepUp | None = None
    #: Done once for an Idempotency-Key (security.idempotency). A create that is not says in ``repeatable``
    #: why doing it twice does no harm.
    idempotent: bool = False
    repeatable: str = ""
    #: Whether the object is changed, and so only at the version that If-Match names (security.preconditions).
    #: None where the model has no version.
    if_match: bool | None = None
    deprecated: Deprecated | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        return tuple(sorted({way.scope for way in self.allow}))


@dataclass(frozen=True, slots=True)
class Parent:
    """The rows that a nested view's id may name, and the field of the view's own rows that leads there."""

    field: str
    queryset: QuerySet[Any]


class PolicyViewSet(ViewSetMixin, APIView):
    """The base of every API view. Subclasses declare ``rules`` and write handlers that use the helpers."""

    rules: ClassVar[Mapping[str, Rule]] = {}
    queryset: ClassVar[QuerySet[Any] | None] = None
    #: For a nested route, ``<parents>/<id>/<rows>``: what the id names.
    parent: ClassVar[Parent | None] = None
    # OPTIONS would describe the view to anybody; a CORS preflight is answered before it gets here.
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    action: Any  # the name of the handler; None for a method that the route does not have
    query: dict[str, Any]
    ways: tuple[Allow, ...]
    #: Whether the version has been compared, or the answer is a stored one.
    version_judged = False

    @property
    def rule(self) -> Rule:
        return self.rules[cast(str, self.action)]

    @property
    def access(self) -> Access:
        return cast(Access, self.request.auth)

    @classmethod
    def as_view(cls, actions: Any = None, **initkwargs: Any) -> Any:
        view: Any = super().as_view(actions, **initkwargs)
        view.unwrapped = view  # which a decorator copies to what it makes
        return view

    # --- the gate ---

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.format_kwarg = None  # there are no format suffixes; DRF's negotiation asks
        address = throttling.Limit(
            throttling.get_rate("address"), f"address:{throttle_key(client_address(request))}"
        )
        if (
            self.action not in self.action_map.values()
        ):  # a method that this route does not have: 405, limited by address
            self._limit(request, [address])
            return
        try:
            self.perform_authentication(request)
            if request.auth is None:
                raise exceptions.NotAuthenticated
        except (exceptions.APIException, SuspiciousOperation):  # of a query with too many parameters
            self._limit(request, [address])
            raise
        principal = throttling.Limit(throttling.get_rate(self.rule.throttle), self.access.throttle_key)
        self._limit(request, [address, principal], once=self.access.once)
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)
        if self.rule.deprecated is not None:
            self.rule.deprecated.check()
        try:
            self.ways = self._permitted_ways(self.rule)
        except (InsufficientScope, RoleNotPermitted):
            self._hide_what_cannot_be_seen()
            raise
        if self.rule.step_up is not None:
            self.rule.step_up.check(self.access)
        self.query = parse_query(self.rule.query or QuerySerializer, request.query_params)
        if request.method == "DELETE" and self.rule.request is None:
            self.read_body()  # which is to say that there is none
        if self.rule.if_match:
            preconditions.require(request)
        else:
            preconditions.refuse(request)
        if self.rule.idempotent:
            method = cast(str, request.method).lower()
            # Where dispatch() looks for the handler next.
            setattr(self, method, idempotency.once(self, getattr(self, method)))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        decision = getattr(request, "throttle_decision", None)
        response = super().finalize_response(request, response, *args, **kwargs)
        done = response.status_code < status.HTTP_400_BAD_REQUEST
        if done and self.rule.if_match and not self.version_judged:
            raise TypeError(f"{type(self).__name__}.{self.action} changes an object without get_object()")
        for name, value in {**PRIVATE, **(decision.headers() if decision is not None else {})}.items():
            response.headers[name] = value
        rule = self.rules.get(self.action)
        if rule is not None and rule.deprecated is not None:
            for name, value in rule.deprecated.headers().items():
                response.headers[name] = value
        return response

    def _limit(
        self, request: Request, limits: Sequence[throttling.Limit], once: Sequence[throttling.Once] = ()
    ) -> None:
        try:
            decision = throttling.check(limits, fail_closed=False, once=once)
        except throttling.LimiterUnavailable as outage:
            raise DependencyUnavailable(retry_after=outage.retry_after) from None
        request.throttle_decision = decision  # type: ignore[attr-defined]  # read by finalize_response
        if not decision.allowed:
            raise TooManyRequests(decision)
        if decision.replayed:
            raise InvalidProof

    def _permitted_ways(self, rule: Rule) -> tuple[Allow, ...]:
        scoped = [way for way in rule.allow if way.scope in self.access.scopes]
        if not scoped:
            raise InsufficientScope(rule.scopes)
        ways = tuple(way for way in scoped if self.access.role in way.roles)
        if not ways:
            raise RoleNotPermitted
        return ways

    def _hide_what_cannot_be_seen(self) -> None:
        """404 before 403, for a caller who may read such objects but not this one.

        To a caller who may read none of them 403 tells nothing, whatever the id.
        """
        reading = self.rules.get("retrieve")
        if reading is None or self.queryset is None or self.parent is not None or "id" not in self.kwargs:
            return
        try:
            self._permitted_ways(reading)
        except (InsufficientScope, RoleNotPermitted):
            return
        visible = reading.objects.scope(self.queryset.all(), self.access)
        if not visible.filter(public_id=parse_public_id(self.kwargs["id"])).exists():
            raise exceptions.NotFound

    # --- helpers for handlers ---

    def get_queryset(self) -> QuerySet[Any]:
        """The rows that the rule's object rule admits; the only way a handler reaches rows."""
        rows = self.rule.objects.scope(self._all(), self.access)
        if self.parent is not None:
            rows = rows.filter(**{f"{self.parent.field}__in": self._parents()})
        return rows

    def get_parent(self, *, lock: bool = False) -> Any:
        """The object that the route's id names above this view's rows, or 404, as for ``get_object``."""
        parents = self._parents()
        parent = (parents.select_for_update(of=("self",)) if lock else parents).first()
        if parent is None:
            raise exceptions.NotFound
        return parent

    def _all(self) -> QuerySet[Any]:
        if self.queryset is None:
            raise TypeError(f"{type(self).__name__} declares no queryset")
        return self.queryset.all()

    def _parents(self) -> QuerySet[Any]:
        """The one row that is the parent, or none, by the same object rule."""
        if self.parent is None:
            raise TypeError(f"{type(self).__name__} declares no parent")
        rows = self.rule.objects.scope(self.parent.queryset.all(), self.access)
        return rows.filter(public_id=parse_public_id(self.kwargs["id"]))

    def get_object(self, *, lock: bool = False, lock_first: Sequence[str] = ()) -> Any:
        """The object named in the URL, or 404, the same for one that is not there and one not to be seen.

        ``lock`` takes a row lock for the rest of the transaction, as does a rule with ``if_match``; on rows
        that it points to by ``lock_first``, which the queryset joins, before its own. Raises
        PreconditionFailed (412) at another version than the caller has seen, and StateConflict (409) when the
        caller's rule admits the action only in other states.
        """
        public_id = parse_public_id(self.kwargs["id"])
        queryset = self.get_queryset()
        if lock or self.rule.if_match:
            # PostgreSQL locks in the order in which they are named.
            queryset = queryset.select_for_update(of=(*lock_first, "self"))
        instance = queryset.filter(public_id=public_id).first()
        if instance is None:
            raise exceptions.NotFound
        if self.rule.if_match:
            preconditions.check(self.request, instance)
            self.version_judged = True
        self._check_state(instance)
        return instance

    def judge_again(self) -> None:
        """For a replay, once the gate is passed: the rest of what may be refused, without doing anything.

        The object or parent has to be seen still, and the body is validated anew, without the object. State
        and version are not asked: the first request has changed them.
        """
        if self.parent is not None:
            self.get_parent()
        elif "id" in self.kwargs:
            public_id = parse_public_id(self.kwargs["id"])
            if not self.get_queryset().filter(public_id=public_id).exists():
                raise exceptions.NotFound
        self.read_body()
        self.version_judged = True

    def _check_state(self, instance: Model) -> None:
        if any(way.states is None or instance.status in way.states for way in self.ways):  # type: ignore[attr-defined]  # a rule with states is for models with a status
            return
        raise StateConflict(instance.status)  # type: ignore[attr-defined]  # as above

    def read_body(self, instance: Model | None = None) -> dict[str, Any]:
        """The validated body of the rule's request serializer.

        Raises ValidationError (400), and FieldNotPermitted (403) or FieldFrozen (409) where the serializer's
        field rules do not admit a field that was sent.
        """
        serializer_class = self.rule.request or NoBody
        sent, partial = self.request.data, self.request.method == "PATCH"
        if partial:
            sent = merge_patch(serializer_class, sent)
        serializer = serializer_class(instance, data=sent, partial=partial, context={"view": self})
        serializer.is_valid(raise_exception=True)
        data = cast(dict[str, Any], serializer.validated_data)
        # By the names that were sent: defaults are nobody's wish.
        check_write(serializer, self.access, self.request.data or (), instance)
        return data

    def respond(self, instance: Any) -> Response:
        """``instance`` through the rule's response serializer, with the rule's status."""
        if self.rule.response is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        data = self.rule.response(instance, context={"view": self}).data
        tag = preconditions.etag(instance)
        return Response(data, status=self.rule.status, headers={**PRIVATE, "ETag": tag} if tag else PRIVATE)

    # --- the two reads that every resource has; a rule named list or retrieve switches them on ---

    def list(self, request: Request, **kwargs: Any) -> Response:
        """A page of the rows; below a parent, of the parent's, and 404 for one that is not to be seen."""
        wanted = PageRequest(**{name: self.query[name] for name in ("cursor", "limit", "ordering")})
        if self.parent is None:
            page = self.rule.objects.page(self._all(), self.access, wanted, self.filter_queryset)
        else:
            # The parent's rows are found by its index, and few are left to judge one by one.
            page = paginate(self.filter_queryset(self.get_queryset()), wanted)
            if not page.items and not self._parents().exists():
                raise exceptions.NotFound
        serializer = cast(type[BaseSerializer[Any]], self.rule.response)
        items = serializer(page.items, many=True, context={"view": self}).data
        return Response({"items": items, "next": page.next}, headers=PRIVATE)

    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        return self.respond(self.get_object())

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow a list by ``self.query``; a hook for subclasses. Never widens: it gets scoped rows."""
        return queryset


#: What a view may not redefine, be it by a helper of the name: all that it has from here is the gate.
SEALED = frozenset(name for name in dir(PolicyViewSet) if not name.startswith("__")) - OPEN


def exempt_from_policy(view: ViewT, *, reason: str) -> ViewT:
    """Mark a view that is not API as deliberately outside the policy, with the reason for the reader."""
    if not reason:
        raise ValueError("an exemption needs a reason")
    view.policy_exemption = reason  # type: ignore[attr-defined]  # read back by the walk below
    return view


def declared_rules() -> Iterator[Rule]:
    """The rule of every action that has a route."""
    for _, view in walk_routes():
        for action in getattr(view, "actions", {}).values():
            yield view.cls.rules[action]  # type: ignore[attr-defined]  # set by ViewSetMixin.as_view


@register(Tags.security)
def check_policy(**kwargs: Any) -> list[CheckMessage]:
    """Walk the URLconf: security.E001 undeclared view, E002 incomplete rule, E003 redefined gate."""
    return [message for route, view in walk_routes() for message in _check_route(route, view)]


def _check_route(route: str, view: Callable[..., Any]) -> Iterator[CheckMessage]:
    if getattr(view, "policy_exemption", ""):
        return
    view_class = getattr(view, "cls", None)
    name = f"{view.__module__}.{getattr(view_class or view, '__name__', repr(view))}"
    if view_class is None or not issubclass(view_class, PolicyViewSet):
        yield Error(
            f"/{route} is served by {name}, which declares no policy.",
            hint="Derive it from security.policy.PolicyViewSet and give each action a Rule; if it is not "
            "part of the API, wrap it in exempt_from_policy(view, reason=…).",
            id="security.E001",
        )
        return
    redefined = sorted(
        attribute
        for klass in view_class.__mro__[: view_class.__mro__.index(PolicyViewSet)]
        for attribute in SEALED & vars(klass).keys()
    )
    redefined += sorted(getattr(view, "initkwargs", {}).keys() - OF_ROUTES)
    if getattr(view, "unwrapped", None) is not view:
        redefined.append("the view of its route, wrapped in a decorator that acts before the gate")
    if redefined:
        yield Error(
            f"{name} redefines {', '.join(redefined)}: that is the gate itself.",
            hint="Say it in the view's rules, narrow rows in filter_queryset(), or find a helper another "
            "name. as_view() takes the actions alone, and a route no decorators.",
            id="security.E003",
        )
    for method, action in sorted(getattr(view, "actions", {}).items()):
        faults = list(_faults(method, action, view_class, view_class.rules.get(action)))
        if faults:
            yield Error(
                f"{method.upper()} /{route}: the rule of {name}.{action} is incomplete: {'; '.join(faults)}.",
                hint=f'Give {view_class.__name__}.rules["{action}"] a complete security.policy.Rule.',
                id="security.E002",
            )


def _faults(method: str, action: str, view_class: type[PolicyViewSet], rule: Rule | None) -> Iterator[str]:
    if rule is None:
        yield "there is none"
        return
    if not rule.allow:
        yield "allow is empty, so nobody could ever do it"
    for way in rule.allow:
        if way.scope not in all_scopes():
            yield f"scope {way.scope!r} is contributed by no AppConfig"
        unknown = way.roles - all_roles().keys() - {SERVICE_ROLE}
        if unknown or not way.roles:
            yield f"roles {sorted(unknown)!r} are contributed by no AppConfig" if unknown else "no roles"
    if type(rule.objects) is ObjectRule or not isinstance(rule.objects, ObjectRule):
        yield "objects must be an object rule, such as TenantObjects()"
    else:
        if any(CONTACT_ROLE in way.roles for way in rule.allow) and not rule.objects.for_contacts:
            yield "a contact is allowed, who may see single objects only: objects must be SharedObjects()"
        parents = view_class.parent.queryset if view_class.parent is not None else None
        for rows in (view_class.queryset, parents):
            yield from rule.objects.faults(rows.model if rows is not None else None)
    if rule.throttle not in settings.THROTTLES:
        yield f"throttle {rule.throttle!r} is not in settings.THROTTLES"
    if method in WRITING_METHODS and not (
        isinstance(rule.request, type) and issubclass(rule.request, StrictSerializer | StrictModelSerializer)
    ):
        yield "request must be a strict serializer, or NoBody"
    yield from _faults_of_repetition(method, action, view_class, rule)
    if method == "patch" and isinstance(rule.request, type) and _has_nested(rule.request):
        yield "a PATCH takes no nested objects: a merge patch would have to be merged into them"
    if rule.query is not None and not issubclass(rule.query, QuerySerializer):
        yield "query must be a QuerySerializer"
    if action == "list" and (rule.query is None or not issubclass(rule.query, PageQuery)):
        yield "list needs a query derived from PageQuery"
    if rule.response is None and method != "delete" and rule.status != status.HTTP_204_NO_CONTENT:
        yield "response must be a serializer"


def _has_nested(serializer: type[BaseSerializer[Any]]) -> bool:
    fields = getattr(serializer(), "fields", {}).values()
    return any(isinstance(field, BaseSerializer) and not field.read_only for field in fields)


def _faults_of_repetition(
    method: str, action: str, view_class: type[PolicyViewSet], rule: Rule
) -> Iterator[str]:
    if rule.idempotent and (method != "post" or rule.response is None):
        yield "idempotent is for a POST with a response"
    if action == "create" and not (rule.idempotent or rule.repeatable):
        yield "a create must be idempotent, or say in repeatable why doing it twice does no harm"
    own = None if view_class.parent is not None or view_class.queryset is None else view_class.queryset.model
    versioned = own is not None and any(field.name == preconditions.VERSION for field in own._meta.fields)
    if rule.if_match and not versioned:
        yield "if_match needs a model with a version"
    if versioned and method not in {"get", "head"} and action != "create" and rule.if_match is None:
        yield "if_match must be True, or False where nothing of the object is changed"
