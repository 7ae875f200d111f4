"""Races, on PostgreSQL and in real threads: one winner, no error, and no row that nobody was handed."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from accounts.oauth.models import AccessToken, Grant, RefreshToken
from accounts.oauth.validators import digest
from tests import factories
from tests.clients import Api, Flow, Page, post_form
from tests.parallel import until_somebody_waits

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 100
PARALLEL = 8
SCOPE = "account:read"


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(PARALLEL) as pool:
        yield pool


@pytest.fixture
def at_once(pool):
    """``call`` from every thread of the pool, started together; their answers. Connections are kept."""

    def run(call):
        barrier = threading.Barrier(PARALLEL)

        def wait_and_call():
            barrier.wait()
            return call()

        return [future.result() for future in [pool.submit(wait_and_call) for _ in range(PARALLEL)]]

    yield run
    barrier = threading.Barrier(PARALLEL)
    for future in [pool.submit(lambda: (barrier.wait(), connection.close())) for _ in range(PARALLEL)]:
        future.result()


@pytest.fixture
def page(auditor):
    page = Page()
    page.sign_in(auditor)
    return page


def refresh(client, token):
    form = {"grant_type": "refresh_token", "client_id": client.client_id, "refresh_token": token}
    return post_form("/oauth/token", form)


def assert_one_winner(answers):
    """The winner's tokens; the others were told that the grant is no good."""
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * (PARALLEL - 1)
    assert all(answer.json() == {"error": "invalid_grant"} for answer in answers if answer.status_code == 400)
    return next(answer.json() for answer in answers if answer.status_code == 200)


def assert_family_is_over(client, tokens):
    """Seven of eight were replays: whoever has the tokens, nobody is to be trusted with them."""
    assert Api(tokens["access_token"]).get("/v1/me").status_code == 401
    assert refresh(client, tokens["refresh_token"]).json() == {"error": "invalid_grant"}
    assert not AccessToken.objects.exists()
    assert not RefreshToken.objects.filter(revoked=None).exists()


def test_a_hundred_rounds_of_parallel_redemptions(page, at_once):
    client = factories.public_client()
    for _ in range(ROUNDS):
        flow = Flow(page, client, SCOPE)
        code = flow.code()

        won = assert_one_winner(at_once(lambda flow=flow, code=code: flow.exchange(code)))

        # Every row there ever was is of the winner's.
        handed_out = {digest(won["refresh_token"])}
        assert set(RefreshToken.objects.values_list("token_checksum", flat=True)) == handed_out
        assert_family_is_over(client, won)
        RefreshToken.objects.all().delete()
        Grant.objects.all().delete()


def test_a_hundred_rounds_of_parallel_refreshes(page, at_once):
    client = factories.public_client()
    for _ in range(ROUNDS):
        flow = Flow(page, client, SCOPE)
        first = flow.exchange(flow.code()).json()

        won = assert_one_winner(at_once(lambda token=first["refresh_token"]: refresh(client, token)))

        handed_out = {digest(tokens["refresh_token"]) for tokens in (first, won)}
        assert set(RefreshToken.objects.values_list("token_checksum", flat=True)) == handed_out
        assert_family_is_over(client, won)
        RefreshToken.objects.all().delete()
        Grant.objects.all().delete()


def test_a_pushed_request_is_spent_by_one_of_parallel_decisions(page, at_once):
    client = factories.public_client()
    flow = Flow(page, client, SCOPE)
    flow.push()
    form = {**page.form(flow.path), "decision": "allow"}
    cookies = page.cookies

    def decide():
        other = Page()
        other.cookies = cookies.copy()
        return other.post(flow.path, form)

    answers = at_once(decide)

    assert sorted(answer.status_code for answer in answers) == [303] + [400] * (PARALLEL - 1)
    assert Grant.objects.count() == 1


def change_password(person):
    person.set_password("a new password of theirs")
    person.save()


ENDINGS = {"a new password": change_password, "a changed factor": lambda person: person.end_access()}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("grant", ["code", "refresh_token", "consent"])
def test_nothing_issued_at_the_same_moment_survives(page, auditor, grant, ending):
    """The change comes after the token request has looked at the person, and before it commits."""
    client = factories.public_client()
    flow = Flow(page, client, SCOPE)
    code = flow.code()
    held = flow.exchange(code).json() if grant == "refresh_token" else None
    form = {**page.form(flow.path), "decision": "allow"}
    issued, answers = threading.Event(), []

    def issue():
        try:
            with transaction.atomic():
                if grant == "code":
                    answers.append(flow.exchange(code))
                elif grant == "refresh_token":
                    answers.append(refresh(client, held["refresh_token"]))
                else:
                    answers.append(page.post(flow.path, form))
                issued.set()
                until_somebody_waits()
        finally:
            connection.close()

    thread = threading.Thread(target=issue)
    thread.start()
    issued.wait(10)
    ENDINGS[ending](auditor)
    thread.join()

    assert [answer.status_code for answer in answers] in ([200], [303])
    assert not AccessToken.objects.exists()
    assert not RefreshToken.objects.filter(revoked=None).exists()
    assert not Grant.objects.exists()


def test_a_decision_that_waited_for_a_new_password_gives_no_code(page, auditor):
    """The change commits after its mail is sent: until then the former session is one."""
    flow = Flow(page, factories.public_client(), SCOPE)
    form = {**page.form(flow.path), "decision": "allow"}
    answers = []

    def decide():
        try:
            answers.append(page.post(flow.path, form))
        finally:
            connection.close()

    thread = threading.Thread(target=decide)
    with transaction.atomic():
        auditor.set_password("a new password of theirs")
        auditor.save()
        thread.start()
        until_somebody_waits()
    thread.join()

    assert not Grant.objects.exists()
    assert answers[0].status_code == 303
    assert answers[0]["Location"].startswith("/sign-in?")


@pytest.mark.parametrize("grant", ["code", "refresh_token"])
def test_nothing_issued_at_the_same_moment_survives_taking_the_grant_back(page, auditor, acme, grant):
    client = factories.public_client()
    mine = factories.grant(auditor, acme, client=client)
    me = Api(factories.token(auditor, acme))
    flow = Flow(page, client, SCOPE)
    code = flow.code()
    held = flow.exchange(code).json() if grant == "refresh_token" else None
    issued, answers = threading.Event(), []

    def issue():
        try:
            with transaction.atomic():
                answers.append(
                    flow.exchange(code) if held is None else refresh(client, held["refresh_token"])
                )
                issued.set()
                until_somebody_waits()
        finally:
            connection.close()

    thread = threading.Thread(target=issue)
    thread.start()
    issued.wait(10)
    taken_back = me.send("DELETE", f"/v1/me/grants/{mine.token_family}")
    thread.join()

    assert [answers[0].status_code, taken_back.status_code] == [200, 204]
    assert Api(answers[0].json()["access_token"]).get("/v1/me").status_code == 401
    assert not RefreshToken.objects.filter(application=client, revoked=None).exists()
    assert not Grant.objects.filter(application=client).exists()


@pytest.mark.parametrize("spent", [False, True])
def test_a_refresh_at_the_same_moment_does_not_survive_revocation(page, spent):
    client = factories.public_client()
    flow = Flow(page, client, SCOPE)
    held = revoke = flow.exchange(flow.code()).json()
    if spent:
        held = refresh(client, revoke["refresh_token"]).json()
    issued, answers = threading.Event(), []

    def issue():
        try:
            with transaction.atomic():
                answers.append(refresh(client, held["refresh_token"]))
                issued.set()
                until_somebody_waits()
        finally:
            connection.close()

    thread = threading.Thread(target=issue)
    thread.start()
    issued.wait(10)
    form = {"client_id": client.client_id, "token": revoke["refresh_token"]}
    revoked = post_form("/oauth/revoke", form)
    thread.join()

    assert [answers[0].status_code, revoked.status_code] == [200, 200]
    assert_family_is_over(client, answers[0].json())
