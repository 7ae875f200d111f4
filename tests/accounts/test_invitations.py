"""/v1/invitations, and the page behind the link."""

import io
import json
import logging
import re
import smtplib
import threading
from datetime import timedelta

import pytest
import structlog
from django.core import mail
from django.db import connection
from django.utils import timezone

from accounts.models import Invitation, Membership, User
from security.models import AuditEvent
from security.row_security import tenant
from security.throttling import LimiterUnavailable
from tests import factories
from tests.clients import PROBLEM, Api, Page, comparable, faults
from tests.visibility import row_security_in_force

pytestmark = pytest.mark.django_db

LINK = re.compile(r"https://localhost:8443(/invitation/[0-9a-f-]{36}/[A-Za-z0-9_-]{43})\n")
CHOSEN = "a quite unusual pass phrase"
NEW = "bob@new.example"


@pytest.fixture
def admin(acme):
    return factories.member("org_admin", acme)


@pytest.fixture
def as_admin(admin, acme):
    return Api(factories.token(admin, acme))


@pytest.fixture
def invite(as_admin, django_capture_on_commit_callbacks):
    """Invite an address; the path of the link in the mail."""

    def run(email=NEW, role="auditor", api=as_admin):
        with django_capture_on_commit_callbacks(execute=True):
            response = api.send("POST", "/v1/invitations", {"email": email, "role": role})
        assert response.status_code == 201, response.content
        return LINK.search(mail.outbox[-1].body)[1]

    return run


def answer(page, link, **fields):
    """POST to ``link`` with a good CSRF token, whether there is a form or not."""
    page.cookies["__Host-csrf"] = token = "a" * 32
    return page.post(link, {"csrfmiddlewaretoken": token, **fields})


def join(link, page=None, **fields):
    return answer(page or Page(), link, **{"name": "Bob", "password": CHOSEN, **fields})


def role_of(email, of):
    found = Membership.objects.filter(user__email=email, organisation=of).first()
    return found and found.role


def signed_in(user, password=factories.PASSWORD):
    page = Page()
    assert page.sign_in(user, password).status_code == 303
    return page


# --- inviting ---


def test_it_answers_without_the_token_and_mails_the_link(as_admin, admin, acme, invite):
    link = invite("Bob@New.Example")

    (message,) = mail.outbox
    assert message.to == [NEW]
    assert message.subject == "You are invited"
    assert acme.name in message.body
    assert admin.name not in message.body
    (item,) = as_admin.get("/v1/invitations").json()["items"]
    assert item.keys() == {"id", "email", "role", "invited_by", "created_at", "expires_at"}
    assert (item["email"], item["role"], item["invited_by"]) == (NEW, "auditor", str(admin.public_id))
    row = Invitation.objects.get()
    assert row.expires_at - row.created_at == timedelta(days=7)
    token = link.rpartition("/")[2]
    assert token not in json.dumps(item)
    assert token not in str(vars(row))


def test_nothing_is_mailed_for_what_is_not_committed(as_admin, acme, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as waiting:
        as_admin.send("POST", "/v1/invitations", {"email": NEW, "role": "auditor"})

    assert mail.outbox == []
    assert len(waiting) == 1


@pytest.mark.parametrize("state", ["unknown", "member elsewhere", "deactivated"])
def test_the_answer_does_not_tell_who_has_an_account(as_admin, state):
    body = {"email": NEW, "role": "auditor"}
    expected = comparable(as_admin.send("POST", "/v1/invitations", body))
    Invitation.objects.all().delete()
    if state != "unknown":
        user = factories.member("auditor", factories.organisation(), is_active=state != "deactivated")
        User.objects.filter(pk=user.pk).update(email=NEW)

    found = comparable(as_admin.send("POST", "/v1/invitations", body))

    def without_what_is_new(answer):
        body = json.loads(answer[1])
        return answer[0], {k: v for k, v in body.items() if k not in {"id", "created_at", "expires_at"}}

    assert without_what_is_new(found) == without_what_is_new(expected)


@pytest.mark.parametrize("role", ["auditor", "contact"])
def test_a_member_or_contact_is_a_duplicate(as_admin, acme, role):
    user = factories.member(role, acme)

    response = as_admin.send("POST", "/v1/invitations", {"email": user.email.upper(), "role": "org_admin"})

    assert response.status_code == 409
    assert response.json()["type"].endswith("/duplicate")
    assert not Invitation.objects.exists()


@pytest.mark.asvs("1.3.11")
@pytest.mark.parametrize(
    "email",
    [
        "",
        "bob",
        "bob@new.example\nBcc: all@acme.example",
        "bob@new.example\r\nBcc: all@acme.example",
        "bob@new.example, eve@new.example",
        "Bob <bob@new.example>",
        "b\u00f6b@new.example",
        "bob@n\u0435w.example",
        "bob@\u0130.example",
        "x" * 250 + "@new.example",
        ["bob@new.example"],
        None,
    ],
)
def test_what_is_no_address_is_refused(as_admin, email):
    response = as_admin.send("POST", "/v1/invitations", {"email": email, "role": "auditor"})

    assert response.status_code == 400
    assert {pointer for pointer, _ in faults(response)} == {"/email"}
    assert not Invitation.objects.exists()


@pytest.mark.parametrize("role", ["service", "superuser", ""])
def test_a_role_has_to_exist(as_admin, role):
    response = as_admin.send("POST", "/v1/invitations", {"email": NEW, "role": role})

    assert {pointer for pointer, _ in faults(response)} == {"/role"}


@pytest.mark.asvs("1.2.1", "1.3.11")
def test_an_organisations_name_makes_no_header_and_no_line(invite, acme):
    acme.name = "Acme\r\nBcc: all@acme.example\r\n\r\nhttps://evil.example"
    acme.save()

    invite()

    (message,) = mail.outbox
    assert message.recipients() == [NEW]
    assert "Bcc" not in message.message()
    assert message.body.startswith("You are invited to Acme Bcc: all@acme.example https://evil.example.\n")


def test_it_is_no_mail_cannon(settings, as_admin):
    settings.THROTTLES = {**settings.THROTTLES, "invite": "3/6000"}
    statuses = [
        as_admin.send(
            "POST", "/v1/invitations", {"email": f"bob{n}@new.example", "role": "auditor"}
        ).status_code
        for n in range(4)
    ]

    assert statuses == [201, 201, 201, 429]
    assert Invitation.objects.count() == 3


def test_inviting_again_ends_the_link_before(as_admin, acme, invite):
    first = invite(role="auditor")
    second = invite(role="org_admin")

    assert Page().get(first).status_code == 404
    assert join(first).status_code == 404
    assert len(as_admin.get("/v1/invitations").json()["items"]) == 1
    assert join(second).status_code == 303
    assert role_of(NEW, acme) == "org_admin"


def test_it_lists_what_can_still_be_accepted(as_admin, invite):
    join(invite("accepted@new.example"))
    invite("expired@new.example")
    Invitation.objects.filter(email="expired@new.example").update(expires_at=timezone.now())
    invite("revoked@new.example")
    revoked = Invitation.objects.get(email="revoked@new.example")
    assert as_admin.send("DELETE", f"/v1/invitations/{revoked.public_id}").status_code == 204
    invite("pending@new.example")

    items = as_admin.get("/v1/invitations").json()["items"]

    assert [item["email"] for item in items] == ["pending@new.example"]


def test_what_was_accepted_or_revoked_cannot_be_revoked(as_admin, invite):
    invite()
    target = f"/v1/invitations/{Invitation.objects.get().public_id}"

    assert [as_admin.send("DELETE", target).status_code for _ in range(2)] == [204, 404]


def test_events_tell_of_each_step_and_not_of_the_token_or_address(as_admin, admin, acme, invite):
    link = invite()
    join(link)
    invite("eve@new.example")
    revoked = Invitation.objects.get(email="eve@new.example")
    as_admin.send("DELETE", f"/v1/invitations/{revoked.public_id}")

    events = list(AuditEvent.objects.order_by("public_id").exclude(event__startswith="api:"))

    bob = User.objects.get(email=NEW)
    assert [(event.event, event.actor) for event in events] == [
        ("members:invitation:sent", admin.public_id),
        ("members:invitation:accepted", bob.public_id),
        ("members:invitation:sent", admin.public_id),
        ("members:invitation:revoked", admin.public_id),
    ]
    assert {event.organisation_id for event in events} == {acme.pk}
    assert events[1].target_id == Membership.objects.get(user=bob).public_id
    told = json.dumps([event.detail for event in events])
    assert link.rpartition("/")[2] not in told
    assert "@" not in told


# --- the mail server ---


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(), TimeoutError(), smtplib.SMTPDataError(451, b"x")]
)
def test_without_a_mail_server_it_says_so_and_can_be_sent_again(acme, monkeypatch, error):
    api = Api(factories.token(factories.member("org_admin", acme), acme))
    body = {"email": NEW, "role": "auditor"}

    def fail(*args, **kwargs):
        raise error

    with monkeypatch.context() as outage:
        outage.setattr("accounts.invitations.send_mail", fail)
        response = api.send("POST", "/v1/invitations", body)

    assert response.status_code == 503
    assert response["Content-Type"] == PROBLEM
    assert response["Retry-After"]
    assert response.json()["type"].endswith("/mail-unavailable")
    assert len(api.get("/v1/invitations").json()["items"]) == 1
    assert mail.outbox == []

    assert api.send("POST", "/v1/invitations", body).status_code == 201
    assert join(LINK.search(mail.outbox[0].body)[1]).status_code == 303
    assert len(mail.outbox) == 1


# --- the page ---


def test_it_shows_who_invites_to_what_and_changes_nothing(admin, acme, invite):
    link = invite(role="contact")

    page = Page().get(link)

    text = page.content.decode()
    assert page.status_code == 200
    for words in (acme.name, admin.name, NEW, "An outsider: sees what was shared with them"):
        assert words in text
    assert not User.objects.filter(email=NEW).exists()
    assert Page().get(link).status_code == 200


def test_the_secret_in_its_path_goes_nowhere(invite):
    page = Page().get(invite())

    assert page["Cache-Control"] == "no-store"
    assert '<meta name="referrer" content="strict-origin">' in page.content.decode()
    assert page["Content-Security-Policy"].count("'none'") >= 4
    assert page["X-Frame-Options"] == "DENY"


def test_the_log_and_the_trail_have_the_pattern_of_its_path_only(invite, acme):
    written = io.StringIO()
    (handler,) = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter)
    ]
    link = invite()
    secret = link.rpartition("/")[2]
    before = handler.setStream(written)
    try:
        Page().get(link)
        Page().post(link, {})  # refused: no CSRF token
        Page().get(f"/sign-in?next={link}")
        join(link)
        join(link)
        Page().put(link, CONTENT_LENGTH="0")
    finally:
        handler.setStream(before)

    assert "invitation/<str:organisation>/<str:token>" in written.getvalue()
    assert secret not in written.getvalue()
    assert secret not in "".join(str(vars(event)) for event in AuditEvent.objects.all())


@pytest.mark.asvs("6.4.1", "6.3.6")
def test_whoever_has_no_account_chooses_a_password_and_then_signs_in(acme, invite):
    page = Page()

    response = join(invite(), page, name="Bob Builder")

    assert (response.status_code, response["Location"]) == (303, "/sign-in")
    assert role_of(NEW, acme) == "auditor"
    bob = User.objects.get(email=NEW)
    assert bob.name == "Bob Builder"
    assert "_auth_user_id" not in page.session
    assert page.get("/docs").status_code == 302
    assert signed_in(bob, CHOSEN)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"password": "short"}, "too short"),
        ({"password": "password1234"}, "too common"),
        ({"password": NEW}, "too similar"),
        ({"password": ""}, "required"),
        ({"password": "x" * 257}, "256"),
        ({"password": "our name is acme, so"}, "acme"),
        ({"name": ""}, "required"),
        ({"name": "x" * 151}, "150"),
        ({"name": "Bob\u202e"}, "invisible"),
        ({"name": "Bob\r\nBcc: all@acme.example"}, "control"),
        ({"name": "Bob\x00"}, "Null"),
    ],
)
def test_what_is_wrong_with_it_is_told_and_the_link_stays_good(acme, invite, fields, told):
    link = invite()

    response = join(link, **fields)

    assert response.status_code == 400
    assert told in response.content.decode()
    assert fields.get("password") is None or f'value="{fields["password"]}"' not in response.content.decode()
    assert not User.objects.filter(email=NEW).exists()
    assert join(link).status_code == 303


@pytest.mark.asvs("1.1.2", "1.2.1")
def test_markup_in_a_name_stays_text(acme, invite):
    join(invite("mallory@new.example", role="org_admin"), name="<b onclick=x>")
    mallory = User.objects.get(email="mallory@new.example")
    link = invite(api=Api(factories.token(mallory, acme)))

    text = Page().get(link).content.decode()

    assert "&lt;b onclick=x&gt;" in text
    assert "<b onclick" not in text


@pytest.mark.parametrize("field", ["role", "email", "organisation", "is_staff", "is_superuser"])
def test_the_form_takes_nothing_else(acme, invite, field):
    join(invite(), **{field: "org_admin"})

    bob = User.objects.get(email=NEW)
    assert role_of(NEW, acme) == "auditor"
    assert not bob.is_staff
    assert not bob.is_superuser


def test_whoever_has_an_account_accepts_signed_in_as_that_address(acme, invite):
    bob = factories.member("auditor", factories.organisation())
    link = invite(bob.email, role="org_admin")
    stranger = Page().get(link).content.decode()
    assert "<form" not in stranger
    assert f'href="/sign-in?next={link.replace("/", "%2F")}"' in stranger

    response = answer(signed_in(bob), link)

    assert (response.status_code, response["Location"]) == (303, "/docs")
    assert role_of(bob.email, acme) == "org_admin"
    assert Membership.objects.filter(user=bob).count() == 2


def test_sign_in_leads_back(invite):
    bob = factories.member("auditor", factories.organisation())
    link = invite(bob.email)
    page = Page()
    form = page.form(f"/sign-in?next={link}")

    back = page.post("/sign-in", {**form, "username": bob.email, "password": factories.PASSWORD})

    assert back["Location"] == link


@pytest.mark.parametrize("has_account", [True, False])
def test_eve_cannot_accept_what_is_bobs(acme, invite, has_account):
    """Signed in as somebody else, with the link in hand."""
    eve = factories.member("auditor", factories.organisation())
    bob = factories.member("auditor", factories.organisation()) if has_account else None
    email = bob.email if bob else NEW
    link = invite(email, role="org_admin")
    page = signed_in(eve)

    response = answer(page, link)

    assert response.status_code == (403 if has_account else 400)
    assert role_of(eve.email, acme) is None
    assert role_of(email, acme) is None
    if has_account:
        assert "signed in as somebody else" in response.content.decode()
        # Nor by choosing a password for bob.
        assert answer(page, link, name="Bob", password=CHOSEN).status_code == 403
        assert not User.objects.get(email=email).check_password(CHOSEN)
    assert Page().get(link).status_code == 200


def test_whoever_is_not_signed_in_cannot_accept_for_an_account(acme, invite):
    bob = factories.member("auditor", factories.organisation())
    link = invite(bob.email)

    assert answer(Page(), link).status_code == 403
    assert role_of(bob.email, acme) is None


def test_it_needs_the_forms_token(acme, invite):
    bob = factories.member("auditor", factories.organisation())
    link = invite(bob.email)

    response = signed_in(bob).post(link, {})

    assert (response.status_code, response["Content-Type"]) == (403, PROBLEM)
    assert role_of(bob.email, acme) is None


def spoilt(invite, as_admin, acme):
    """kind → a link that is good no more, or never was."""
    links = {kind: invite(f"{kind}@new.example") for kind in ("used", "expired", "revoked", "good")}
    join(links["used"])
    Invitation.objects.filter(email="expired@new.example").update(expires_at=timezone.now())
    revoked = Invitation.objects.get(email="revoked@new.example")
    as_admin.send("DELETE", f"/v1/invitations/{revoked.public_id}")
    token = links.pop("good").rpartition("/")[2]
    ours = f"/invitation/{acme.public_id}"
    return links | {
        "unknown token": f"{ours}/{'A' * 43}",
        "the digest": f"{ours}/{Invitation.digest(token)}",
        "NUL": f"{ours}/%00",
        "unknown organisation": f"/invitation/01a20b51-1e4c-77a9-81e6-aaeaf2d023ae/{token}",
        "another organisation": f"/invitation/{factories.organisation().public_id}/{token}",
        "another spelling": f"/invitation/{str(acme.public_id).upper()}/{token}",
        "no organisation": f"/invitation/x/{token}",
    }


@pytest.mark.asvs("6.4.1")
def test_used_expired_revoked_and_unknown_give_one_page(invite, as_admin, acme):
    answers = []
    for link in spoilt(invite, as_admin, acme).values():
        answers += [Page().get(link), join(link)]

    assert {response.status_code for response in answers} == {404}
    assert len({comparable(response)[1] for response in answers}) == 1
    assert answers[0]["Cache-Control"] == "no-store"
    assert User.objects.filter(email__endswith="@new.example").count() == 1  # who used it


@pytest.mark.parametrize("end", ["removed", "demoted", "deactivated"])
def test_an_administrator_who_is_one_no_more_does_not_come_back_by_a_link(admin, acme, invite, end):
    link = invite("puppet@new.example", role="org_admin")
    if end == "removed":
        Membership.objects.filter(user=admin).delete()
    elif end == "demoted":
        Membership.objects.filter(user=admin).update(role="auditor")
    else:
        User.objects.filter(pk=admin.pk).update(is_active=False)

    assert join(link).status_code == 404
    assert role_of("puppet@new.example", acme) is None


def test_a_role_that_one_has_meanwhile_stays(acme, invite):
    bob = factories.member("auditor", factories.organisation())
    link = invite(bob.email, role="org_admin")
    Membership.objects.create(user=bob, organisation=acme, role="contact")

    assert answer(signed_in(bob), link).status_code == 303
    assert role_of(bob.email, acme) == "contact"
    assert Page().get(link).status_code == 404


def test_row_security_hides_it_from_other_tenants(acme, invite):
    invite()

    with row_security_in_force():
        assert not Invitation.objects.exists()
        with tenant(factories.organisation().pk):
            assert not Invitation.objects.exists()
        with tenant(acme.pk):
            assert Invitation.objects.count() == 1


def test_it_is_limited_by_address(settings, invite):
    settings.THROTTLES = {**settings.THROTTLES, "sign_in_address": "3/6000"}
    link = invite()
    # One of its own each time: the limit outlives the test.
    page = Page(REMOTE_ADDR=factories.address())

    statuses = [page.get(link).status_code for _ in range(4)]

    assert statuses == [200, 200, 200, 429]


def test_without_valkey_it_refuses(monkeypatch, invite):
    link = invite()

    def out_of_reach(limits, *, fail_closed):
        assert fail_closed
        raise LimiterUnavailable(retry_after=1)

    monkeypatch.setattr("security.throttling.check", out_of_reach)

    assert Page().get(link).status_code == 503


# --- in parallel ---


def at_once(number, call):
    barrier, answers = threading.Barrier(number), []

    def run(index):
        barrier.wait()
        try:
            answers.append(call(index).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(answers)


def invited(api, email, role="auditor"):
    """The link, of a committed invitation."""
    assert api.send("POST", "/v1/invitations", {"email": email, "role": role}).status_code == 201
    return LINK.search(mail.outbox[-1].body)[1]


@pytest.mark.django_db(transaction=True)
def test_of_parallel_acceptances_one_wins(acme):
    api = Api(factories.token(factories.member("org_admin", acme), acme))
    for number in range(5):
        email = f"bob{number}@new.example"
        link = invited(api, email)
        pages = [Page() for _ in range(4)]
        forms = [{"name": "Bob", "password": CHOSEN, **page.form(link)} for page in pages]

        statuses = at_once(4, lambda index: pages[index].post(link, forms[index]))  # noqa: B023  used at once

        assert statuses == [303, 404, 404, 404]
        assert Membership.objects.filter(user__email=email).count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_organisations_at_once_one_makes_the_account_and_the_other_asks_to_sign_in(acme):
    other = factories.organisation()
    apis = [Api(factories.token(factories.member("org_admin", of), of)) for of in (acme, other)]
    for number in range(5):
        email = f"bob{number}@new.example"
        links = [invited(api, email) for api in apis]
        pages = [Page() for _ in links]
        forms = [
            {"name": "Bob", "password": CHOSEN, **page.form(link)}
            for page, link in zip(pages, links, strict=True)
        ]

        statuses = at_once(2, lambda index: pages[index].post(links[index], forms[index]))  # noqa: B023  as above

        assert statuses == [303, 403]
        assert User.objects.filter(email=email).count() == 1
        assert Membership.objects.filter(user__email=email).count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_parallel_invitations_of_one_address_the_last_link_is_good_alone(acme):
    api = Api(factories.token(factories.member("org_admin", acme), acme))

    statuses = at_once(
        6, lambda index: api.send("POST", "/v1/invitations", {"email": NEW, "role": "auditor"})
    )

    assert statuses == [201] * 6
    assert Invitation.objects.count() == 1
    links = [LINK.search(message.body)[1] for message in mail.outbox]
    assert sorted(Page().get(link).status_code for link in links) == [200] + [404] * 5
