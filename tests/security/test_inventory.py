"""security.inventory."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import http_sf
import pytest
from django.http import HttpResponse
from django.urls import path
from drf_spectacular.generators import SchemaGenerator

from accounts.me import MeViewSet
from config import urls
from security import inventory
from security.inventory import Deprecated, check_inventory, internal_routes, walk_routes
from security.policy import exempt_from_policy
from tests.clients import PROBLEM

SINCE = datetime(2026, 6, 1, tzinfo=UTC)
SUNSET = datetime(2027, 1, 1, tzinfo=UTC)
HEADERS = {"Deprecation": "@1780272000", "Sunset": "Fri, 01 Jan 2027 00:00:00 GMT"}


def me(deprecated=None):
    """``GET /v1/me`` of another age."""
    rules = {"retrieve": replace(MeViewSet.rules["retrieve"], deprecated=deprecated)}
    return type("OldMeViewSet", (MeViewSet,), {"rules": rules}).as_view({"get": "retrieve"})


def page(request):
    return HttpResponse()


@pytest.fixture
def routed(settings):
    """Serve these routes, besides the service's own or instead of some."""

    def serve(*routes, without=()):
        kept = [pattern for pattern in urls.urlpatterns if str(pattern.pattern) not in without]
        settings.ROOT_URLCONF = type("urls", (), {**vars(urls), "urlpatterns": [*routes, *kept]})

    return serve


@pytest.fixture
def now(monkeypatch):
    def set_to(moment):
        monkeypatch.setattr(Deprecated, "clock", lambda: moment)

    return set_to


# --- every URL ---


def test_every_route_is_documented_or_internal():
    assert check_inventory() == []


def test_an_operation_that_is_in_no_document_is_refused(routed):
    routed(path("v1/shadow", me()))

    (error,) = check_inventory()

    assert error.id == "security.E095"
    assert "GET /v1/shadow" in error.msg
    assert "make openapi" in error.hint


def test_a_method_that_is_in_no_document_is_refused(routed):
    view = type("Both", (MeViewSet,), {"rules": {**MeViewSet.rules, "create": MeViewSet.rules["retrieve"]}})
    routed(path("v1/me", view.as_view({"get": "retrieve", "post": "retrieve"})), without=("v1/me",))

    assert [error.id for error in check_inventory()] == ["security.E095"]


def test_an_exempt_route_without_a_written_reason_is_refused(routed):
    routed(path("metrics", exempt_from_policy(page, reason="somebody thought so")))

    (error,) = check_inventory()

    assert error.id == "security.E096"
    assert "/metrics" in error.msg


def test_what_is_named_and_not_there_is_refused(routed):
    routed(without=("v1/me", "healthz"))

    found = {error.msg: error.id for error in check_inventory()}

    assert found == {
        "GET /v1/me of the OpenAPI document has no route.": "security.E097",
        "/healthz of settings.INTERNAL_ROUTES has no route.": "security.E097",
    }


def test_an_entry_with_a_star_covers_what_is_below_it(routed):
    routed(path("admin/users/<int:pk>", page))

    assert check_inventory() == []


def test_every_internal_route_has_its_reason_and_is_no_api():
    assert all(internal_routes().values())
    assert not [route for route in internal_routes() if route.startswith("v1/")]
    assert {
        route for route, view in walk_routes() if not hasattr(view, "actions")
    } <= internal_routes().keys()


# --- deprecation and sunset ---


@pytest.mark.django_db
def test_a_deprecated_operation_says_so_in_every_answer(api, routed, now):
    routed(path("v1/old", me(Deprecated(since=SINCE, sunset=SUNSET))))
    now(SUNSET - timedelta(seconds=1))

    for response, status in ((api.get("/v1/old"), 200), (api.get("/v1/old?unheard_of=1"), 400)):
        assert response.status_code == status
        assert {name: response[name] for name in HEADERS} == HEADERS
    assert http_sf.parse(HEADERS["Deprecation"].encode(), tltype="item")[0] == SINCE


@pytest.mark.django_db
def test_without_an_end_it_has_no_sunset(api, routed, now):
    routed(path("v1/old", me(Deprecated(since=SINCE))))
    now(SUNSET + timedelta(days=9999))

    response = api.get("/v1/old")

    assert response.status_code == 200
    assert response["Deprecation"] == HEADERS["Deprecation"]
    assert "Sunset" not in response


@pytest.mark.django_db
def test_an_operation_that_is_not_deprecated_says_nothing(api):
    assert not HEADERS.keys() & api.get("/v1/me").headers.keys()


@pytest.mark.django_db
@pytest.mark.parametrize("after", [timedelta(0), timedelta(days=1)])
def test_from_the_sunset_on_it_is_gone(api, routed, now, after):
    routed(path("v1/old", me(Deprecated(since=SINCE, sunset=SUNSET))))
    now(SUNSET + after)

    response = api.get("/v1/old")

    assert response.status_code == 410
    assert response["Content-Type"] == PROBLEM
    assert response.json()["type"].endswith("/problems/gone")
    assert {name: response[name] for name in HEADERS} == HEADERS
    assert response["RateLimit"]


def test_the_document_says_so_too(routed):
    routed(path("v1/old", me(Deprecated(since=SINCE, sunset=SUNSET))))

    operation = SchemaGenerator().get_schema(request=None, public=True)["paths"]["/v1/old"]["get"]

    assert operation["deprecated"] is True
    assert "2027-01-01" in operation["responses"]["410"]["description"]
    for code, response in operation["responses"].items():
        assert (response["headers"].keys() >= HEADERS.keys()) is (code < "500")


@pytest.mark.parametrize(
    "deprecated",
    [
        Deprecated(since=SINCE.replace(tzinfo=None)),
        Deprecated(since=SINCE, sunset=SUNSET.replace(tzinfo=None)),
        Deprecated(since=SUNSET, sunset=SINCE),
    ],
)
def test_dates_that_cannot_be_are_refused(routed, monkeypatch, deprecated):
    routed(path("v1/old", me(deprecated)))
    documented = inventory.documented_operations() | {("get", "/v1/old")}
    monkeypatch.setattr(inventory, "documented_operations", lambda: documented)

    assert [error.id for error in check_inventory()] == ["security.E098"]
