"""security.pagination."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from security.models import AuditEvent
from security.pagination import NEWEST_FIRST, OLDEST_FIRST, PageRequest, paginate
from tests import factories
from tests.clients import Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def seven():
    return [AuditEvent.objects.create(event=f"test:event:{number}", organisation_id=1) for number in range(7)]


@pytest.mark.parametrize("ordering", [NEWEST_FIRST, OLDEST_FIRST])
def test_pages_follow_each_other_without_gap_or_overlap(seven, ordering):
    seen, cursor = [], None
    for _ in range(4):
        page = paginate(AuditEvent.objects.filter(organisation_id=1), PageRequest(cursor, 2, ordering))
        seen += page.items
        cursor = page.next

    assert seen == (seven if ordering == OLDEST_FIRST else seven[::-1])
    assert cursor is None


def test_a_page_is_one_statement_without_count(seven):
    with CaptureQueriesContext(connection) as queries:
        paginate(AuditEvent.objects.all(), PageRequest(None, 3))

    assert len(queries) == 1
    assert "COUNT(" not in queries[0]["sql"].upper()
    assert "LIMIT 4" in queries[0]["sql"]


def test_rows_that_appear_meanwhile_do_not_shift_the_next_page(seven):
    first = paginate(AuditEvent.objects.all(), PageRequest(None, 3))
    AuditEvent.objects.create(event="test:event:new", organisation_id=1)

    second = paginate(AuditEvent.objects.all(), PageRequest(first.next, 3))

    assert [event.pk for event in second.items] == [seven[3].pk, seven[2].pk, seven[1].pk]


def test_a_foreign_rows_id_is_only_a_position(acme, api, auditor):
    own = AuditEvent.objects.create(event="test:own", organisation_id=acme.pk)
    foreign = AuditEvent.objects.create(event="test:foreign", organisation_id=factories.organisation().pk)

    items = api.get(f"/v1/audit-events?cursor={foreign.public_id}").json()["items"]

    assert [item["id"] for item in items] == [str(own.public_id)]


def test_the_limit_is_bounded(api):
    assert api.get("/v1/audit-events?limit=100").status_code == 200
    assert api.get("/v1/audit-events?limit=101").status_code == 400


def test_an_empty_list_has_no_next(acme, auditor):
    response = Api(factories.token(auditor, acme)).get("/v1/audit-events?event=test:none")

    assert response.json() == {"items": [], "next": None}
