"""security.idempotency, on a view of the test's own. Releasing and creating are in tests/resources/."""

import os
import threading
from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.urls import path
from django.utils import timezone

from config import urls
from security import idempotency
from security.field_access import FieldRule
from security.identifiers import PublicIdField
from security.models import AuditEvent, StoredAnswer
from security.object_permissions import TenantObjects
from security.policy import Allow, PolicyViewSet, Rule
from security.row_security import tenant
from security.serializers import ReadSerializer
from security.step_up import StepUp
from security.strict_input import StrictCharField, StrictSerializer
from tests import factories
from tests.clients import Api

pytestmark = pytest.mark.django_db

AUDITOR = frozenset({"auditor"})
EFFECT = "test:effect:done"
KEY = "0123456789abcdef"


class Reader(ReadSerializer[AuditEvent]):
    field_rules = {"target_type": FieldRule(scopes=frozenset({"audit:read"}))}
    shown_once = ("client_id",)

    id = PublicIdField()

    class Meta:
        model = AuditEvent
        fields = ("id", "event", "target_type", "client_id")


class Writer(StrictSerializer):
    note = StrictCharField(max_length=50)


class EffectViewSet(PolicyViewSet):
    queryset = AuditEvent.objects.all()
    rules = {
        "create": Rule(
            allow=(Allow("audit:read", AUDITOR), Allow("account:read", AUDITOR)),
            objects=TenantObjects(),
            throttle="write",
            request=Writer,
            response=Reader,
            status=201,
            step_up=StepUp(max_age=timedelta(minutes=5)),
            idempotent=True,
        )
    }

    def create(self, request, **kwargs):
        data = self.read_body()
        made = AuditEvent.objects.create(
            event=EFFECT,
            organisation_id=self.access.organisation_id,
            target_type=data["note"],
            client_id="hunter2-hunter2",
        )
        return self.respond(made)


@pytest.fixture(autouse=True)
def _planted(settings):
    extra = path("effects", EffectViewSet.as_view({"post": "create"}))
    settings.ROOT_URLCONF = type("urls", (), {**vars(urls), "urlpatterns": [extra, *urls.urlpatterns]})


def do(api, key=KEY, note="x"):
    return api.send("POST", "/effects", {"note": note}, HTTP_IDEMPOTENCY_KEY=key)


def effects():
    return AuditEvent.objects.filter(event=EFFECT).count()


def slug(response):
    return response.json()["type"].rpartition("/")[2]


def test_what_is_sent_again_is_done_once_and_answered_the_same(api):
    first = do(api)
    second = do(api)

    assert (first.status_code, second.status_code) == (201, 201)
    assert effects() == 1
    assert second.json() == {name: value for name, value in first.json().items() if name != "client_id"}


def test_the_order_of_keys_and_the_quotes_make_no_difference(api):
    do(api)

    again = api.send("POST", "/effects", b' { "note" : "x" } ', HTTP_IDEMPOTENCY_KEY=f'"{KEY}"')

    assert again.status_code == 201
    assert effects() == 1


@pytest.mark.parametrize(
    "key", ["", '""', "x" * 129, "with blanks in it", f'"{KEY}', f"{KEY}, {KEY}", "ä" * 16]
)
def test_without_a_key_of_the_form_nothing_is_done(api, key):
    response = do(api, key)

    assert (response.status_code, slug(response)) == (400, "idempotency-key-required")
    assert effects() == 0


def test_no_key_at_all(api):
    assert api.generic("POST", "/effects", b"{}", content_type="application/json").status_code == 400


def test_a_key_stands_for_one_request(api):
    do(api)

    other = do(api, note="y")

    assert (other.status_code, slug(other)) == (422, "idempotency-key-reused")
    assert effects() == 1


def test_a_refusal_is_not_stored(api):
    assert api.send("POST", "/effects", {"nota": "x"}, HTTP_IDEMPOTENCY_KEY=KEY).status_code == 400

    assert do(api).status_code == 201


def test_another_person_client_or_organisation_has_another_key(acme, auditor, api):
    other, globex = factories.member("auditor", acme), factories.organisation()
    globex.memberships.create(user=auditor, role="auditor")
    client = factories.public_client()
    callers = [
        api,
        Api(factories.token(other, acme, client=client)),
        Api(factories.token(auditor, acme, client=client)),
        Api(factories.token(auditor, globex, client=client)),
    ]

    answers = [do(caller) for caller in callers]

    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.json()["id"] for answer in answers}) == effects() == 4


# --- who has lost the right gets no replay ---


@pytest.fixture
def client():
    return factories.public_client()


@pytest.fixture
def first(acme, auditor, client):
    return do(Api(factories.token(auditor, acme, client=client)))


def assert_not_replayed(response, status, first):
    assert response.status_code == status
    assert first.json()["id"] not in response.content.decode()
    assert effects() == 1


def test_a_removed_member_gets_none(acme, auditor, client, first):
    api = Api(factories.token(auditor, acme, client=client))
    auditor.memberships.all().delete()

    assert_not_replayed(do(api), 401, first)


def test_who_has_another_role_gets_none(acme, auditor, client, first):
    auditor.memberships.update(role="org_admin")

    assert_not_replayed(do(Api(factories.token(auditor, acme, client=client))), 403, first)


def test_a_token_without_the_scope_gets_none(acme, auditor, client, first):
    weak = Api(factories.token(auditor, acme, client=client, scopes="account:manage"))

    assert_not_replayed(do(weak), 403, first)


def test_an_old_sign_in_gets_none(acme, auditor, client, first):
    long_ago = timezone.now() - timedelta(minutes=6)
    old = Api(factories.token(auditor, acme, client=client, auth_time=long_ago))

    assert_not_replayed(do(old), 401, first)


def test_a_field_that_the_token_does_not_open_is_left_out(acme, auditor, client, first):
    weak = Api(factories.token(auditor, acme, client=client, scopes="account:read"))

    assert first.json()["target_type"] == "x"
    assert do(weak).json() == {"id": first.json()["id"], "event": EFFECT}


# --- what is kept, and for how long ---


@pytest.mark.asvs("14.2.2")
def test_neither_the_key_nor_a_secret_nor_the_request_is_kept(first):
    (row,) = StoredAnswer.objects.values()

    assert first.json()["client_id"] == "hunter2-hunter2"
    assert "hunter2" not in str(row)
    assert KEY not in str(row)
    assert len(row["fingerprint"]) == 32


def test_the_database_shows_an_answer_to_its_tenant_alone(acme, first):
    from tests.visibility import see_everything

    see_everything(on=False)
    for organisation_id, seen in ((acme.pk, 1), (factories.organisation().pk, 0)):
        with tenant(organisation_id):
            assert StoredAnswer.objects.count() == seen


def test_after_its_lifetime_a_key_is_new(api, settings, monkeypatch):
    do(api)
    later = timezone.now() + settings.IDEMPOTENCY_LIFETIME + timedelta(seconds=1)
    monkeypatch.setattr(idempotency, "clock", lambda: later)

    assert do(api, note="y").status_code == 201
    assert do(api, note="y").status_code == 201
    assert effects() == 2
    assert StoredAnswer.objects.count() == 1


def test_it_survives_a_change_of_the_signing_keys(api, settings):
    do(api)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key that has a good length, and letters of many kinds"

    assert do(api).status_code == 201
    assert do(api, note="y").status_code == 422


# --- in parallel, and in a crash ---


@pytest.mark.asvs("2.3.4")
@pytest.mark.django_db(transaction=True)
def test_of_eight_at_once_one_has_an_effect(api):
    barrier, answers = threading.Barrier(8), []

    def run():
        barrier.wait()
        try:
            answers.append(do(api))
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    done = [answer for answer in answers if answer.status_code == 201]
    assert effects() == 1
    assert len({answer.json()["id"] for answer in done}) == 1
    assert {slug(answer) for answer in answers if answer not in done} <= {"idempotency-key-in-use"}
    assert do(api).json()["id"] == done[0].json()["id"]


@pytest.mark.django_db(transaction=True)
def test_while_the_first_runs_nobody_waits(api, acme, auditor, monkeypatch):
    asked = []
    try_lock = idempotency._try_lock
    monkeypatch.setattr(idempotency, "_try_lock", lambda digest: asked.append(digest) or try_lock(digest))
    do(api, "a-key-of-another-kind")
    do(api)
    StoredAnswer.objects.all().delete()

    with psycopg.connect(**connection.get_connection_params()) as first:
        number = int.from_bytes(bytes.fromhex(asked[-1])[:8], "big", signed=True)
        first.execute("SELECT pg_advisory_xact_lock(%s)", [number])
        refused = do(api)

    assert (refused.status_code, slug(refused)) == (409, "idempotency-key-in-use")
    assert refused["Retry-After"] == "1"
    assert do(api).status_code == 201


class DieAfterCommit:
    """The process ends when the effect is committed, before a byte of the answer is sent."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        self.get_response(request)
        os._exit(9)


@pytest.mark.django_db(transaction=True)
def test_a_crash_between_commit_and_answer_loses_no_answer(api, settings):
    child = os.fork()
    if not child:
        connection.connection = None  # the parent's: leave it alone
        settings.MIDDLEWARE = [f"{__name__}.DieAfterCommit", *settings.MIDDLEWARE]
        do(Api(**api.defaults))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert effects() == 1

    again = do(api)

    assert again.status_code == 201
    assert again.json()["id"] == str(AuditEvent.objects.get(event=EFFECT).public_id)
    assert effects() == 1
