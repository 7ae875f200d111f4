"""/v1/members: roles, removal, and the administrator who stays."""

import threading

import pytest
from django.db import ProgrammingError, connection, transaction

from accounts import members
from accounts.models import Membership
from accounts.oauth.models import AccessToken, Grant, RefreshToken
from accounts.signals import membership_removed
from security.models import AuditEvent
from security.row_security import tenant
from tests import factories
from tests.clients import Api, Flow, Page, basic, post_form
from tests.visibility import row_security_in_force

pytestmark = pytest.mark.django_db

ROUNDS = 20


@pytest.fixture
def admin(acme):
    return factories.member("org_admin", acme)


@pytest.fixture
def clerk(acme):
    return factories.member("auditor", acme)


@pytest.fixture
def as_admin(admin, acme):
    return Api(factories.token(admin, acme))


def row(user, of):
    return Membership.objects.get(user=user, organisation=of)


def path(user, of):
    return f"/v1/members/{row(user, of).public_id}"


def slug(response):
    return response.json()["type"].rpartition("/")[2]


def administrators(of):
    return Membership.objects.filter(organisation=of, role="org_admin").count()


# --- reading ---


def test_it_lists_members_and_contacts_by_public_ids(as_admin, admin, acme):
    contact = factories.member("contact", acme)
    factories.member("auditor", factories.organisation())

    items = as_admin.get("/v1/members").json()["items"]

    assert [(item["user"], item["role"]) for item in items] == [
        (str(contact.public_id), "contact"),
        (str(admin.public_id), "org_admin"),
    ]
    assert items[0].keys() == {"id", "user", "name", "email", "role", "joined_at"}
    assert items[0]["email"] == contact.email
    assert as_admin.get(path(contact, acme)).json() == items[0]


# --- roles ---


@pytest.mark.asvs("8.3.2")
def test_a_changed_role_is_felt_by_the_next_request_of_a_token_from_before(as_admin, clerk, acme):
    token = Api(factories.token(clerk, acme, acr="aal2"))  # what the new role asks for
    assert token.get("/v1/audit-events").status_code == 200

    response = as_admin.send("PATCH", path(clerk, acme), {"role": "org_admin"})

    assert response.status_code == 200
    assert response.json()["role"] == "org_admin"
    assert token.get("/v1/audit-events").status_code == 403
    assert token.get("/v1/members").status_code == 200


def test_a_change_of_role_leaves_an_event(as_admin, admin, clerk, acme):
    as_admin.send("PATCH", path(clerk, acme), {"role": "org_admin"})

    event = AuditEvent.objects.get(event="members:member:role-changed")
    assert event.actor == admin.public_id
    assert event.target_id == row(clerk, acme).public_id
    assert event.detail == {"user": str(clerk.public_id), "role": {"from": "auditor", "to": "org_admin"}}


@pytest.mark.parametrize("body", [{}, {"role": "auditor"}])
def test_what_changes_nothing_leaves_no_event(as_admin, clerk, acme, body):
    assert as_admin.send("PATCH", path(clerk, acme), body).status_code == 200
    assert not AuditEvent.objects.exists()


def test_nobody_changes_their_own_role(as_admin, admin, acme):
    factories.member("org_admin", acme)

    response = as_admin.send("PATCH", path(admin, acme), {"role": "auditor"})

    assert (response.status_code, slug(response)) == (403, "own-membership")
    assert row(admin, acme).role == "org_admin"


@pytest.mark.parametrize(("before", "after"), [("contact", "auditor"), ("auditor", "contact")])
def test_a_contact_and_a_member_do_not_turn_into_each_other(as_admin, acme, before, after):
    user = factories.member(before, acme)

    response = as_admin.send("PATCH", path(user, acme), {"role": after})

    assert (response.status_code, slug(response)) == (409, "contact-boundary")
    assert row(user, acme).role == before


@pytest.mark.parametrize("role", ["service", "superuser", "", "Auditor", None, 1])
def test_a_role_has_to_exist(as_admin, clerk, acme, role):
    assert as_admin.send("PATCH", path(clerk, acme), {"role": role}).status_code == 400


@pytest.mark.parametrize("field", ["user", "organisation", "organisation_id", "joined_at", "id", "email"])
def test_nothing_else_is_writable(as_admin, clerk, acme, field):
    assert as_admin.send("PATCH", path(clerk, acme), {field: "x"}).status_code == 400


# --- removal ---


@pytest.mark.asvs("8.3.2")
def test_removal_is_felt_by_the_next_request(as_admin, admin, clerk, acme):
    token = Api(factories.token(clerk, acme))
    assert token.get("/v1/me").status_code == 200
    gone = row(clerk, acme)

    response = as_admin.send("DELETE", path(clerk, acme))

    assert (response.status_code, response.content) == (204, b"")
    assert token.get("/v1/me").status_code == 401
    event = AuditEvent.objects.get(event="members:member:removed")
    assert (event.actor, event.target_id) == (admin.public_id, gone.public_id)
    assert event.detail == {"user": str(clerk.public_id), "role": {"from": "auditor"}}


def test_removal_takes_no_body(as_admin, clerk, acme):
    assert as_admin.send("DELETE", path(clerk, acme), {"role": "auditor"}).status_code == 400
    assert row(clerk, acme)


@pytest.mark.asvs("8.3.3")
def test_a_service_client_stops_with_the_person_who_answers_for_it(as_admin, clerk, acme):
    client = factories.service_client(acme, clerk, secret="s" * 43, scopes=["vendors:read", "audit:read"])
    token = Api(factories.token(None, acme, client=client))
    form = {"grant_type": "client_credentials", "scope": "audit:read"}

    def ask():
        return post_form("/oauth/token", form, **basic(client.client_id, "s" * 43))

    assert ask().status_code == 200
    assert token.get("/v1/me").status_code == 403  # known, and no person

    as_admin.send("DELETE", path(clerk, acme))

    assert token.get("/v1/me").status_code == 401
    assert (ask().status_code, ask().json()["error"]) == (400, "unauthorized_client")
    # As a contact, that person answers for nothing.
    Membership.objects.create(user=clerk, organisation=acme, role="contact")
    assert token.get("/v1/me").status_code == 401
    assert ask().status_code == 400
    # As a member again, for what is issued anew.
    Membership.objects.update_or_create(user=clerk, organisation=acme, defaults={"role": "auditor"})
    assert token.get("/v1/me").status_code == 401
    assert ask().status_code == 200


def held(user):
    """A code not yet redeemed, an access token and a refresh token, from the real flow."""
    page = Page()
    page.sign_in(user)
    flow = Flow(page, factories.public_client(), "account:read audit:read")
    tokens = flow.exchange(flow.code()).json()
    return flow, flow.code(), tokens


def test_a_token_from_before_stays_dead_after_a_second_invitation(as_admin, clerk, acme):
    flow, code, tokens = held(clerk)
    refresh = {"grant_type": "refresh_token", "client_id": flow.client.client_id}
    as_admin.send("DELETE", path(clerk, acme))

    Membership.objects.create(user=clerk, organisation=acme, role="auditor")

    assert Api(tokens["access_token"]).get("/v1/me").status_code == 401
    refreshed = post_form("/oauth/token", {**refresh, "refresh_token": tokens["refresh_token"]})
    assert (refreshed.status_code, refreshed.json()["error"]) == (400, "invalid_grant")
    assert (flow.exchange(code).status_code, flow.exchange(code).json()["error"]) == (400, "invalid_grant")


def test_without_the_receiver_it_would_live_again(as_admin, clerk, acme, monkeypatch):
    """That the test above can fail."""
    _, _, tokens = held(clerk)
    monkeypatch.setattr(membership_removed, "receivers", [])
    monkeypatch.setattr(membership_removed, "sender_receivers_cache", {})
    as_admin.send("DELETE", path(clerk, acme))
    Membership.objects.create(user=clerk, organisation=acme, role="auditor")

    assert Api(tokens["access_token"]).get("/v1/me").status_code == 200


def test_what_is_held_elsewhere_stays(as_admin, clerk, acme):
    other = factories.organisation()
    Membership.objects.create(user=clerk, organisation=other, role="auditor")
    elsewhere, colleague = (
        factories.token(clerk, other),
        factories.token(factories.member("auditor", acme), acme),
    )

    as_admin.send("DELETE", path(clerk, acme))

    assert Api(elsewhere).get("/v1/me").status_code == 200
    assert Api(colleague).get("/v1/me").status_code == 200


@pytest.mark.broken
def test_other_apps_are_told_in_the_same_transaction(as_admin, clerk, acme):
    told = []

    def undo(user, organisation_id, **kwargs):
        told.append((user, organisation_id, connection.in_atomic_block))
        raise RuntimeError("the grants could not be deleted")

    membership_removed.connect(undo)
    try:
        response = as_admin.send("DELETE", path(clerk, acme))
    finally:
        membership_removed.disconnect(undo)

    assert told == [(clerk, acme.pk, True)]
    assert response.status_code == 500
    assert row(clerk, acme)


def test_the_other_ways_out_tell_as_well(clerk, acme):
    told = []

    def listen(user, organisation_id, **kwargs):
        told.append((user.pk, organisation_id))

    membership_removed.connect(listen)
    try:
        Membership.objects.filter(user=clerk).delete()
        member = factories.member("auditor", acme)
        key = member.pk
        member.delete()
    finally:
        membership_removed.disconnect(listen)

    assert told == [(clerk.pk, acme.pk), (key, acme.pk)]


# --- the last administrator ---


def test_an_administrator_may_leave_while_another_stays(as_admin, admin, acme):
    factories.member("org_admin", acme)

    assert as_admin.send("DELETE", path(admin, acme)).status_code == 204
    assert as_admin.get("/v1/me").status_code == 401


def test_the_last_one_stays(as_admin, admin, acme):
    factories.member("auditor", acme)
    factories.member("org_admin", factories.organisation())

    response = as_admin.send("DELETE", path(admin, acme))

    assert (response.status_code, slug(response)) == (409, "last-administrator")
    assert administrators(acme) == 1


def test_somebody_deactivated_is_no_administrator_who_stays(as_admin, admin, acme):
    factories.member("org_admin", acme, is_active=False)

    assert slug(as_admin.send("DELETE", path(admin, acme))) == "last-administrator"


def test_somebody_deactivated_can_be_removed(as_admin, acme):
    gone = factories.member("org_admin", acme, is_active=False)

    assert as_admin.send("DELETE", path(gone, acme)).status_code == 204


def at_once(*calls):
    """Each call from a thread of its own, started together; the statuses, sorted."""
    barrier, answers = threading.Barrier(len(calls)), []

    def run(call):
        barrier.wait()
        try:
            answers.append(call().status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(answers)


def remove(api, what):
    return lambda: api.send("DELETE", what)


def demote(api, what):
    return lambda: api.send("PATCH", what, {"role": "auditor"})


def two_administrators(acme):
    users = [factories.member("org_admin", acme) for _ in range(2)]
    return [(Api(factories.token(user, acme)), path(user, acme)) for user in users]


@pytest.mark.asvs("2.3.4")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("kind", "refused"),
    [("remove each other", {401, 403}), ("demote each other", {403}), ("both leave", {409})],
)
def test_of_two_administrators_at_once_one_remains(acme, kind, refused):
    for _ in range(ROUNDS):
        Membership.objects.all().delete()
        (one, ones), (two, twos) = two_administrators(acme)
        calls = {
            "remove each other": (remove(one, twos), remove(two, ones)),
            "demote each other": (demote(one, twos), demote(two, ones)),
            "both leave": (remove(one, ones), remove(two, twos)),
        }[kind]

        done, other = at_once(*calls)

        assert done in {200, 204}
        assert other in refused
        assert administrators(acme) == 1


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_both_would_leave(acme, monkeypatch):
    """That the test above can fail: the rows are read, and both readers wait for each other."""
    barrier = threading.Barrier(2)

    def unlocked(access):
        rows = Membership.objects.filter(organisation_id=access.organisation_id, role="org_admin")
        found = {row.user_id for row in rows}
        barrier.wait()
        return found

    monkeypatch.setattr(members, "lock_administrators", unlocked)
    (one, ones), (two, twos) = two_administrators(acme)

    assert at_once(remove(one, ones), remove(two, twos)) == [204, 204]
    assert administrators(acme) == 0


@pytest.mark.django_db(transaction=True)
def test_no_token_is_issued_past_a_removal(acme):
    """Redeeming and refreshing while the membership goes: nothing is left that a second one would revive."""
    admin = factories.member("org_admin", acme)
    api = Api(factories.token(admin, acme))
    for _ in range(ROUNDS):
        user = factories.member("auditor", acme)
        flow, code, tokens = held(user)
        refresh = {
            "grant_type": "refresh_token",
            "client_id": flow.client.client_id,
            "refresh_token": tokens["refresh_token"],
        }

        statuses = at_once(
            remove(api, path(user, acme)),
            lambda flow=flow, code=code: flow.exchange(code),
            lambda refresh=refresh: post_form("/oauth/token", refresh),
        )

        assert set(statuses) <= {200, 204, 400}
        assert 204 in statuses
        assert not AccessToken.objects.filter(user=user).exists()
        assert not RefreshToken.objects.filter(user=user, revoked=None).exists()
        assert not Grant.objects.filter(user=user).exists()


# --- the database ---


def test_while_a_tenant_is_set_the_database_shows_its_members_alone(acme):
    ours = row(factories.member("auditor", acme), acme)
    other = factories.organisation()
    factories.member("auditor", other)

    with row_security_in_force():
        assert Membership.objects.count() == 2  # authentication finds the tenant by them
        with tenant(acme.pk):
            assert list(Membership.objects.all()) == [ours]
            foreign = Membership(user=ours.user, organisation=other, role="org_admin")
            with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
                foreign.save()
