"""security.routes."""

import pytest

from security.models import AuditEvent
from security.object_permissions import TenantObjects
from security.policy import Allow, NoBody, PolicyViewSet, Rule, check_policy
from security.routes import resource
from security.serializers import ReadSerializer


class Reader(ReadSerializer[AuditEvent]):
    class Meta:
        model = AuditEvent
        fields = ("event",)


RULE = Rule(
    allow=(Allow("audit:read", frozenset({"auditor"})),),
    objects=TenantObjects(),
    throttle="read",
    request=NoBody,
    response=Reader,
)


class Things(PolicyViewSet):
    queryset = AuditEvent.objects.all()
    rules = {"retrieve": RULE, "seal": RULE}

    def seal(self, request, **kwargs):
        return self.respond(self.get_object())


def routes(patterns):
    return {str(pattern.pattern): set(pattern.callback.actions) for pattern in patterns}


def test_only_declared_actions_have_routes():
    assert routes(resource("things", Things, actions=("seal",))) == {
        "things/<str:id>": {"get"},
        "things/<str:id>/seal": {"post"},
    }


def test_an_action_without_a_rule_gets_its_route_and_so_its_error(settings):
    class Forgotten(Things):
        rules = {"retrieve": RULE}

    settings.ROOT_URLCONF = type(
        "urls", (), {"urlpatterns": resource("things", Forgotten, actions=("seal",))}
    )

    (error,) = check_policy()

    assert error.id == "security.E002"
    assert "seal" in error.msg


@pytest.mark.django_db
@pytest.mark.parametrize("route", ["/v1/me/", "/v1/audit-events/", "/v1/me.json", "/V1/account", "//v1/me"])
def test_paths_are_exact(api, route):
    assert api.get(route).status_code == 404


def test_put_does_not_exist():
    every = {
        method
        for pattern in resource("things", Things, actions=("seal",))
        for method in pattern.callback.actions
    }

    assert "put" not in every
