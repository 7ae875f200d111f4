"""security.audit."""

import pytest
from django.db import InterfaceError, OperationalError, ProgrammingError, connection, transaction

from security import audit
from security.audit import Event, Refusal, RepeatWindows, record, write_ended_windows
from security.database_roles import owner
from security.models import AuditEvent
from tests import factories
from tests.clients import Api, Page
from tests.visibility import see_everything

pytestmark = pytest.mark.django_db


def events(**filters):
    return list(AuditEvent.objects.filter(**filters).order_by("pk"))


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

        def __call__(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(RepeatWindows, "clock", clock)
    return clock


# --- what is recorded ---


@pytest.mark.asvs("16.2.1", "16.3.2")
def test_a_refusal_of_a_known_caller_is_recorded_with_who_and_where(acme, auditor):
    Api(factories.token(auditor, acme, scopes="account:read")).get("/v1/audit-events")

    (event,) = events(event=Event.FORBIDDEN)
    assert event.organisation_id == acme.pk
    assert event.actor == auditor.public_id
    assert event.address == "127.0.0.1"
    assert event.request_id is not None
    assert event.detail == {
        "status": 403,
        "code": "insufficient-scope",
        "route": "v1/audit-events",
        "method": "GET",
    }


@pytest.mark.asvs("16.3.2", "16.3.3")
@pytest.mark.parametrize(
    ("request_", "tag"),
    [
        (lambda api: Api("bad").get("/v1/me"), Event.UNAUTHENTICATED),
        (lambda api: api.get("/v1/me?x=1"), Event.INVALID),
        (lambda api: api.get("/v1/me", HTTP_AUTHORIZATION="Nonsense"), Event.INVALID),
    ],
)
def test_each_kind_of_refusal_has_its_tag(api, request_, tag):
    request_(api)

    assert [event.event for event in events()] == [tag]


@pytest.mark.asvs("16.3.3")
def test_a_limited_request_is_recorded(api, settings):
    settings.THROTTLES = {**settings.THROTTLES, "read": "1/6000"}
    assert [api.get("/v1/me").status_code for _ in range(2)] == [200, 429]

    assert len(events(event=Event.LIMITED)) == 1


def test_successful_reads_are_not_recorded(api):
    api.get("/v1/me")

    assert events() == []


@pytest.mark.asvs("16.3.1")
def test_sign_in_sign_out_and_failure_are_recorded_for_the_organisation(acme):
    user = factories.member("auditor", acme)
    page = Page()
    page.sign_in(user, "wrong password")
    page.sign_in(user)
    page.post("/sign-out", {"csrfmiddlewaretoken": page.cookies["__Host-csrf"].value})

    assert [(event.event, event.organisation_id, event.actor) for event in events()] == [
        (Event.SIGN_IN_FAILED, acme.pk, user.public_id),
        (Event.SIGN_IN, acme.pk, user.public_id),
        (Event.SIGN_OUT, acme.pk, user.public_id),
    ]


def test_a_sign_in_of_nobody_is_recorded_without_the_name(db):
    page = Page()
    page.post("/sign-in", {**page.form("/sign-in"), "username": "nobody@nowhere.example", "password": "x"})

    (event,) = events()
    assert (event.event, event.organisation_id, event.actor) == (Event.SIGN_IN_FAILED, None, None)
    assert "nobody" not in str(event.__dict__)


def test_no_value_of_the_input_is_recorded(api):
    api.send("POST", "/v1/audit-events", {"password": "hunter2-hunter2"})
    api.get("/v1/me?hunter2=hunter2")

    assert "hunter2" not in str([event.__dict__ for event in events()])


def test_one_row_for_each_organisation_in_one_statement(rf, acme, django_assert_num_queries):
    other = factories.organisation()
    request = rf.get("/")

    with django_assert_num_queries(1):
        record(request, "test:subject:action", organisations=[acme.pk, other.pk], actor=None)

    assert {event.organisation_id for event in events()} == {acme.pk, other.pk}


@pytest.mark.asvs("2.3.3")
def test_a_record_is_undone_with_its_change(rf, acme):
    with transaction.atomic():
        record(rf.get("/"), "test:subject:action", organisations=[acme.pk], actor=None)
        transaction.set_rollback(True)

    assert events() == []


# --- repeats ---


@pytest.mark.asvs("16.3.2")
def test_repeats_become_one_row_with_a_count(clock):
    for _ in range(5):
        Api("bad").get("/v1/me")
    assert len(events()) == 1

    clock.now += audit.REPEAT_WINDOW_SECONDS + 1
    write_ended_windows()

    first, rest = events()
    assert (first.count, rest.count) == (1, 4)
    assert rest.event == Event.UNAUTHENTICATED


def test_a_single_refusal_leaves_one_row(clock):
    Api("bad").get("/v1/me")
    clock.now += audit.REPEAT_WINDOW_SECONDS + 1
    write_ended_windows()

    assert len(events()) == 1


def test_guessing_many_routes_without_a_token_opens_one_window(clock):
    for number in range(20):
        Api().get(f"/v1/me{number}")

    assert len(events(event=Event.NOT_FOUND)) == 1


def unknown(number):
    """A refusal of nobody in particular, from an address of its own."""
    address = f"10.0.0.{number}"
    return Refusal(
        Event.UNAUTHENTICATED, None, None, "", address, "", "", 401, "unauthorized", network=address
    )


def test_windows_are_bounded(monkeypatch, clock):
    monkeypatch.setattr(audit, "MAX_OPEN_WINDOWS", 10)
    windows = RepeatWindows()

    written = [windows.note(unknown(number)) for number in range(50)]
    rest = windows.take_ended(everything=True)

    assert sum(written) == 10
    assert [(refusal.code, count) for refusal, count in rest] == [("overflow", 40)]


def test_a_request_writes_few_windows_of_others(clock, monkeypatch):
    """A thousand of them would keep whoever comes next waiting."""
    monkeypatch.setattr(audit, "MAX_WRITTEN_WINDOWS", 3)
    for number in range(8):
        for _ in range(2):
            Api("bad", REMOTE_ADDR=f"10.0.0.{number}").get("/v1/me")
    before = len(events())
    clock.now += audit.REPEAT_WINDOW_SECONDS + 1

    written = []
    for _ in range(4):
        Api().get("/healthz")
        written.append(len(events()) - before)

    assert written == [3, 6, 8, 8]


def test_nobody_unknown_hides_what_a_member_was_refused(monkeypatch, clock, acme):
    monkeypatch.setattr(audit, "MAX_OPEN_WINDOWS", 10)
    for number in range(50):
        Api("bad", REMOTE_ADDR=f"10.0.0.{number}").get("/v1/me")

    assert Api(factories.token(factories.member("clerk", acme), acme)).get("/v1/members").status_code == 403

    (event,) = events(event=Event.FORBIDDEN)
    assert (event.organisation_id, event.count) == (acme.pk, 1)


def test_the_addresses_of_one_network_are_one_caller(clock):
    for number in range(20):
        Api("bad", REMOTE_ADDR=f"2001:db8::{number + 1:x}").get("/v1/me")
    Api("bad", REMOTE_ADDR="2001:db8:0:1::1").get("/v1/me")

    assert [event.address for event in events()] == ["2001:db8::1", "2001:db8:0:1::1"]


@pytest.mark.parametrize("outage", [OperationalError, InterfaceError])
def test_an_audit_that_cannot_be_written_does_not_change_the_answer(monkeypatch, api, caplog, outage):
    def fail(events):
        raise outage("gone")

    monkeypatch.setattr(audit, "append", fail)

    assert Api("bad").get("/v1/me").status_code == 401
    assert "audit event not written" in caplog.text


# --- append-only ---


@pytest.fixture
def event(acme):
    return AuditEvent.objects.create(event="test:subject:action", organisation_id=acme.pk)


@pytest.mark.asvs("16.4.2")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE security_auditevent SET event = 'x'",
        "DELETE FROM security_auditevent",
        "TRUNCATE security_auditevent",
        "ALTER TABLE security_auditevent DISABLE TRIGGER ALL",
        "DROP TABLE security_auditevent",
        "SET LOCAL pgtrigger.ignore = '{security_auditevent:append_only}'; DELETE FROM security_auditevent",
        "SET LOCAL session_replication_role = replica",
    ],
)
def test_the_service_role_has_no_right_to_change_it(event, statement):
    with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)

    assert AuditEvent.objects.filter(pk=event.pk).exists()


@pytest.mark.asvs("16.4.2")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE security_auditevent SET event = 'x'",
        "DELETE FROM security_auditevent",
        "TRUNCATE security_auditevent",
    ],
)
def test_the_trigger_stops_even_the_owner(statement):
    AuditEvent.objects.create(event="test:subject:action")
    with (
        owner(),
        pytest.raises(ProgrammingError, match=r"append-only|Cannot update or delete"),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)

    see_everything(on=True)  # on the connection that the service role has again
    assert AuditEvent.objects.count() == 1
