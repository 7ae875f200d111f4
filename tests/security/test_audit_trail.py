"""security.audit_trail."""

import pytest

from security.models import AuditEvent
from tests import factories
from tests.clients import Api, faults

pytestmark = pytest.mark.django_db


@pytest.fixture
def trail(acme):
    other = factories.organisation()
    return [
        AuditEvent.objects.create(event=event, organisation_id=organisation)
        for event, organisation in [
            ("test:acme:one", acme.pk),
            ("test:globex:one", other.pk),
            ("test:nobody:one", None),
            ("test:acme:two", acme.pk),
        ]
    ]


def test_an_auditor_reads_the_own_organisations_events_newest_first(trail, api):
    items = api.get("/v1/audit-events").json()["items"]

    assert [item["event"] for item in items] == ["test:acme:two", "test:acme:one"]
    assert set(items[0]) == {
        "id",
        "occurred_at",
        "event",
        "actor",
        "client_id",
        "address",
        "request_id",
        "target_type",
        "target_id",
        "detail",
        "count",
    }


def test_a_tag_narrows_and_never_widens(trail, api):
    assert [i["event"] for i in api.get("/v1/audit-events?event=test:acme:one").json()["items"]] == [
        "test:acme:one"
    ]
    assert api.get("/v1/audit-events?event=test:globex:one").json()["items"] == []


@pytest.mark.parametrize("query", ["organisation_id=1", "actor=x", "offset=5", "ordering=id", "event="])
def test_other_parameters_are_refused(api, query):
    response = api.get(f"/v1/audit-events?{query}")

    assert response.status_code == 400
    assert {parameter for parameter, _ in faults(response)} == {query.split("=")[0]}


def test_only_auditors_read_it(acme, trail):
    for role in ("org_admin",):
        token = factories.token(factories.member(role, acme), acme)
        assert Api(token).get("/v1/audit-events").status_code == 403


def test_nobody_writes_it(api, trail):
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert api.generic(method, "/v1/audit-events").status_code == 405
        assert api.generic(method, f"/v1/audit-events/{trail[0].public_id}").status_code == 404
