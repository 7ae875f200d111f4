"""security.policy."""

import pytest
from django.http import HttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page
from rest_framework import serializers
from rest_framework.views import APIView

from accounts.me import MeViewSet
from security import policy
from security.audit_trail import AuditEventViewSet
from security.models import AuditEvent
from security.object_permissions import NoObjects, ObjectRule, TenantObjects
from security.policy import (
    Allow,
    NoBody,
    PolicyViewSet,
    Rule,
    check_policy,
    exempt_from_policy,
)
from security.scopes import all_roles
from security.serializers import ReadSerializer
from security.strict_input import StrictSerializer
from tests import factories
from tests.clients import PROBLEM, Api

pytestmark = pytest.mark.django_db


class Reader(ReadSerializer[AuditEvent]):
    class Meta:
        model = AuditEvent
        fields = ("event",)


WAYS = (Allow("audit:read", frozenset({"auditor"})),)
COMPLETE = {
    "allow": WAYS,
    "objects": TenantObjects(),
    "throttle": "read",
    "response": Reader,
}


class Nested(StrictSerializer):
    inner = NoBody()


def view_with(action="retrieve", method="get", **changes):
    """A view whose one rule is complete but for ``changes``; rule=None for no rule at all."""
    rules = {} if "rule" in changes else {action: Rule(**{**COMPLETE, **changes})}
    view = type("Planted", (PolicyViewSet,), {"rules": rules, "queryset": AuditEvent.objects.all()})
    setattr(view, action, lambda self, request, **kwargs: self.respond(self.get_object()))
    return view.as_view({method: action})


@pytest.fixture
def planted(settings):
    """Makes views the only routes; gives their errors."""

    def plant(*views):
        module = type(
            "urls", (), {"urlpatterns": [path(f"planted{n}", view) for n, view in enumerate(views)]}
        )
        settings.ROOT_URLCONF = module
        return check_policy()

    return plant


def test_the_projects_own_routes_pass():
    assert check_policy() == []


def test_a_complete_rule_passes(planted):
    assert planted(view_with()) == []


@pytest.mark.asvs("8.2.1")
@pytest.mark.parametrize(
    "view",
    [
        lambda request: HttpResponse("hello"),
        APIView.as_view(),
        type("Own", (APIView,), {"permission_classes": [], "get": lambda self, request: None}).as_view(),
    ],
)
def test_a_view_without_policy_is_an_error_that_says_what_to_do(planted, view):
    (error,) = planted(view)

    assert error.id == "security.E001"
    assert "/planted0" in error.msg
    assert "PolicyViewSet" in error.hint


@pytest.mark.asvs("8.2.1")
@pytest.mark.parametrize(
    ("view", "fault"),
    [
        (view_with(rule=None), "there is none"),
        (view_with(allow=()), "allow is empty"),
        (view_with(allow=(Allow("audit:raed", frozenset({"auditor"})),)), "audit:raed"),
        (view_with(allow=(Allow("audit:read", frozenset({"audtior"})),)), "audtior"),
        (view_with(allow=(Allow("audit:read", frozenset()),)), "no roles"),
        (view_with(objects=None), "object rule"),
        (view_with(objects=ObjectRule()), "object rule"),
        (view_with(throttle="sometimes"), "sometimes"),
        (view_with(response=None), "response"),
        (view_with("create", "post"), "strict serializer"),
        (view_with("create", "post", request=serializers.Serializer), "strict serializer"),
        (view_with("list"), "PageQuery"),
        (view_with("create", "post", request=NoBody), "idempotent"),
        (view_with(idempotent=True), "idempotent is for a POST"),
        (view_with(if_match=True), "needs a model with a version"),
        (view_with("partial_update", "patch", request=Nested), "nested"),
    ],
)
def test_an_incomplete_rule_is_an_error_that_names_the_fault(planted, view, fault):
    errors = planted(view)

    assert [error.id for error in errors] == ["security.E002"]
    assert fault in errors[0].msg


@pytest.mark.parametrize("attribute", sorted(policy.SEALED))
def test_the_gate_itself_may_not_be_redefined(planted, attribute):
    view = type(
        "Reopened",
        (PolicyViewSet,),
        {"rules": {"retrieve": Rule(**COMPLETE)}, attribute: [], "retrieve": lambda self, request: None},
    )

    (error,) = planted(PolicyViewSet.as_view.__func__(view, {"get": "retrieve"}))

    assert error.id == "security.E003"
    assert attribute in error.msg


def test_a_helper_that_shadows_a_part_of_the_gate_is_an_error(planted):
    """It would be called in its place: here no limit would be asked."""

    class Paged(view_with().cls):
        def _limit(self, request, limits, once=()):
            return 20

    (error,) = planted(Paged.as_view({"get": "retrieve"}))

    assert error.id == "security.E003"
    assert "_limit" in error.msg


def test_the_gate_may_not_be_redefined_in_the_urlconf_either(planted):
    view = MeViewSet.as_view({"get": "retrieve"}, permission_classes=[])

    (error,) = planted(view)

    assert error.id == "security.E003"


@pytest.mark.asvs("8.2.1")
@pytest.mark.parametrize("name", ["rules", "queryset", "parent", "version_judged"])
def test_a_route_brings_no_rules_of_its_own(planted, name):
    """They would be in force, and the checks, the document and the matrix would show those of the class."""
    everybody = {"retrieve": Rule(**{**COMPLETE, "allow": (Allow("account:read", frozenset(all_roles())),)})}
    view = view_with().cls

    (error,) = planted(view.as_view({"get": "retrieve"}, **{name: everybody}))

    assert error.id == "security.E003"
    assert name in error.msg


def test_a_route_may_be_named(planted):
    view = view_with().cls

    assert (
        planted(view.as_view({"get": "retrieve"}, basename="planted", detail=True, suffix="Instance")) == []
    )


class CachedHandler(AuditEventViewSet):
    """As REST framework's guide to caching has it."""

    list = method_decorator(cache_page(60))(AuditEventViewSet.list)


CACHED = {
    "the route": cache_page(60)(AuditEventViewSet.as_view({"get": "list"})),
    "the handler": CachedHandler.as_view({"get": "list"}),
}


@pytest.mark.asvs("8.3.2")
@pytest.mark.parametrize("what", CACHED)
def test_no_cache_answers_in_place_of_the_gate(planted, acme, auditor, what):
    """A kept answer would be given for as long as it is kept, whatever was taken back meanwhile."""
    planted(CACHED[what])
    api, path = Api(factories.token(auditor, acme)), f"/planted0?limit={next(factories.number) % 90 + 1}"
    assert api.get(path).json()["items"] == []

    AuditEvent.objects.create(event="a:b:c", organisation_id=acme.pk)
    assert len(api.get(path).json()["items"]) == 1
    auditor.memberships.all().delete()
    assert api.get(path).status_code == 401


def test_a_route_that_wraps_its_view_is_an_error(planted):
    """What a decorator does, it does before the gate, and after it."""
    (error,) = planted(CACHED["the route"])

    assert error.id == "security.E003"
    assert "wrapped" in error.msg


def test_an_exempt_view_passes_and_needs_a_reason(planted):
    assert planted(exempt_from_policy(lambda request: HttpResponse(), reason="a test")) == []
    with pytest.raises(ValueError, match="reason"):
        exempt_from_policy(lambda request: HttpResponse(), reason="")


def test_an_object_rule_admits_nothing_by_default(acme):
    assert not ObjectRule().scope(AuditEvent.objects.all(), None).exists()


@pytest.mark.asvs("10.3.2")
def test_the_caller_needs_the_scope(acme, auditor):
    response = Api(factories.token(auditor, acme, scopes="account:read")).get("/v1/audit-events")

    assert response.status_code == 403
    assert response["WWW-Authenticate"] == (
        'Bearer realm="api", error="insufficient_scope", scope="audit:read"'
    )
    assert response.json()["type"].endswith("/problems/insufficient-scope")


@pytest.mark.asvs("8.2.1")
def test_the_caller_needs_the_role(acme):
    response = Api(factories.token(factories.member("org_admin", acme), acme)).get("/v1/audit-events")

    assert response.status_code == 403
    assert "WWW-Authenticate" not in response
    assert response.json()["type"].endswith("/problems/role-not-permitted")


@pytest.mark.asvs("8.3.2")
def test_the_role_is_read_on_every_request(acme, auditor, api):
    assert api.get("/v1/audit-events").status_code == 200

    auditor.memberships.update(role="org_admin")

    assert api.get("/v1/audit-events").status_code == 403


@pytest.mark.asvs("8.2.1", "16.5.3")
def test_a_view_that_escaped_the_policy_lets_nobody_in(rf, settings, acme, auditor):
    """DenyAll is the default permission, should the check ever be silenced."""
    view = type("Escaped", (APIView,), {"get": lambda self, request: HttpResponse("secret")}).as_view()
    token = factories.token(auditor, acme)

    response = view(rf.get("/", secure=True, HTTP_AUTHORIZATION=f"Bearer {token}"))

    assert response.status_code == 403


@pytest.mark.asvs("4.1.4")
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_method_that_the_route_does_not_have_is_405(api, method):
    response = api.generic(method, "/v1/audit-events")

    assert response.status_code == 405
    assert response["Content-Type"] == PROBLEM
    assert "GET" in response["Allow"]
    assert "POST" not in response["Allow"]
    assert "OPTIONS" not in response["Allow"]


def test_a_method_override_is_ignored(api):
    assert api.get("/v1/audit-events", HTTP_X_HTTP_METHOD_OVERRIDE="DELETE").status_code == 200


def test_no_body_means_none(acme):
    assert NoBody(data={}).is_valid()
    assert not NoBody(data={"status": "released"}).is_valid()


def test_no_objects_keeps_its_reason():
    assert NoObjects("why").reason == "why"


def test_a_query_that_nobody_reads_is_limited_by_address(settings):
    """Django gives up on so many parameters while the token is looked for."""
    settings.THROTTLES = {**settings.THROTTLES, "address": "2/60"}
    stranger = Api("nonsense", REMOTE_ADDR=factories.address())

    statuses = [stranger.get("/v1/me?" + "a&" * 1_001).status_code for _ in range(4)]

    assert statuses == [400, 400, 429, 429]
