"""security.page_limits: whatever is not API has a limit, and one that nobody can turn against another."""

import pytest
import redis
from django.test import Client

from security.page_limits import UNCOUNTED, check_page_limits
from security.policy import walk_routes
from security.request_body import BodyNotReceived
from tests import factories
from tests.clients import PROBLEM, Api, Page, basic, post_form

pytestmark = pytest.mark.django_db

FREE = {"problems/<slug:slug>", "healthz", "readyz"}
EXEMPT = {route: view for route, view in walk_routes() if getattr(view, "policy_exemption", "")}


@pytest.fixture
def limits(settings):
    def limit(**rates):
        settings.PAGE_LIMITS = {**settings.PAGE_LIMITS, **rates}

    return limit


def path_of(route):
    for part in ("<int:pk>", "<str:uidb64>", "<str:token>", "<slug:slug>", "<path:"):
        route = route.replace(part, "1")
    return "/" + route


@pytest.mark.asvs("2.4.1")
@pytest.mark.parametrize("route", sorted(EXEMPT.keys() - FREE))
def test_every_view_outside_the_policy_is_limited_by_address(route, limits):
    limits(address="2/6000")
    here, path = factories.address(), path_of(route)

    answers = [Api(REMOTE_ADDR=here).post(path) for _ in range(3)]

    assert [answer.status_code == 429 for answer in answers] == [False, False, True]
    assert answers[2]["Content-Type"] == PROBLEM
    assert 0 < int(answers[2]["Retry-After"]) <= 6000
    assert answers[2].json()["violated-policies"] == ["page_address"]
    assert Api(REMOTE_ADDR=factories.address()).post(path).status_code != 429


def test_a_body_that_does_not_come_counts(limits, monkeypatch):
    def read(self, size=-1):
        raise BodyNotReceived

    monkeypatch.setattr("django.test.client.FakePayload.read", read)
    limits(address="2/6000")
    here = factories.address()

    answers = [post_form("/oauth/token", {"client_id": "demo"}, REMOTE_ADDR=here) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [408, 408, 429]


@pytest.mark.parametrize("route", sorted(FREE))
def test_what_tells_nothing_is_free(route, limits):
    limits(address="1/6000")
    assert getattr(EXEMPT[route], UNCOUNTED)
    here = factories.address()

    assert 429 not in {Api(REMOTE_ADDR=here).get(path_of(route)).status_code for _ in range(3)}


@pytest.mark.asvs("14.2.2")
def test_what_is_counted_is_kept_without_its_name(settings):
    here, page = factories.address(), Page()
    somebody = f"private-{factories.address().replace('.', '-')}@acme.example"

    page.post("/sign-in", {**page.form("/sign-in"), "username": somebody, "password": "x"}, REMOTE_ADDR=here)
    post_form("/oauth/token", {"grant_type": "client_credentials"}, **basic("private-client", "x"))

    with redis.Redis.from_url(settings.VALKEY_URL) as client:
        stored = list(client.scan_iter(match="throttle:page*"))
        kept = b" ".join([*stored, *(client.get(key) or b"" for key in stored)])
    assert stored
    for name in (b"private-", b"@acme", here.encode()):
        assert name not in kept


def test_an_account_is_limited_at_one_address_and_not_at_another(limits):
    limits(account="2/6000")
    page, here, there = Page(), factories.address(), factories.address()
    form = {**page.form("/sign-in"), "username": "Somebody@acme.example", "password": "x"}
    statuses = [page.post("/sign-in", form, REMOTE_ADDR=here).status_code for _ in range(3)]

    assert statuses == [200, 200, 429]
    for spelling in ("somebody@ACME.example", "\uff53omebody\uff20acme.example", " somebody@acme.example"):
        form["username"] = spelling
        assert page.post("/sign-in", form, REMOTE_ADDR=here).status_code == 429
    assert page.post("/sign-in", form, REMOTE_ADDR=there).status_code == 200


@pytest.mark.parametrize("way", ["basic", "body", "query"])
def test_a_client_is_limited_at_one_address_and_not_at_another(limits, way):
    limits(client="2/6000")

    def ask(where):
        if way == "query":
            return Client().get("/oauth/authorize?client_id=c", secure=True, REMOTE_ADDR=where).status_code
        headers = basic("c", "s") if way == "basic" else {}
        form = {"grant_type": "client_credentials"} | ({"client_id": "c"} if way == "body" else {})
        return post_form("/oauth/token", form, REMOTE_ADDR=where, **headers).status_code

    here = factories.address()
    statuses = [ask(here) for _ in range(3)]

    assert statuses[2] == 429
    assert 429 not in statuses[:2]
    assert ask(factories.address()) != 429


@pytest.mark.parametrize("credentials", ["Basic", "Basic %%%", "Basic /w==", "Bearer x", "basic Og=="])
def test_odd_credentials_count_as_no_client(limits, credentials):
    limits(client="1/6000")
    here = factories.address()
    statuses = {
        post_form("/oauth/token", "a=b", REMOTE_ADDR=here, HTTP_AUTHORIZATION=credentials).status_code
        for _ in range(3)
    }

    assert not statuses & {429, 500}


def test_the_api_has_its_own(limits, api):
    limits(address="1/6000")

    assert [api.get("/v1/me").status_code for _ in range(3)] == [200, 200, 200]


def test_an_outage_of_the_cache_is_503(settings):
    settings.CACHES = {
        "default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"},
    }

    response = Page().get("/sign-in")

    assert response.status_code == 503
    assert response["Content-Type"] == PROBLEM
    assert response["Retry-After"]
    assert Page().get("/healthz").status_code == 200


def test_a_counter_that_is_lost_on_the_way_is_503(monkeypatch):
    monkeypatch.setattr("security.page_limits.get_usage", lambda *args, **kwargs: NO_ANSWER)

    assert Page().get("/sign-in").status_code == 503


#: What the library says when the cache neither added nor incremented.
NO_ANSWER = {"count": 0, "limit": 0, "should_limit": True, "time_left": -1}


@pytest.mark.parametrize("rate", ["", "lots", "0/60", "600", "600/m"])
def test_what_is_no_rate_does_not_start(settings, rate):
    assert check_page_limits() == []
    settings.PAGE_LIMITS = {**settings.PAGE_LIMITS, "client": rate}

    assert [error.id for error in check_page_limits()] == ["security.E037"]


def test_the_counters_lie_where_valkeys_user_may_write(limits, settings):
    limits(address="1000/6000")
    Page(REMOTE_ADDR=factories.address()).get("/sign-in")
    with redis.Redis.from_url(settings.VALKEY_URL) as client:
        counters = client.keys("throttle:page:*")

    assert counters
    assert not client.keys("*rl:*") or set(client.keys("*rl:*")) == set(counters)
