"""/v1/invoices: the life of an invoice."""

import threading
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection, transaction
from django.utils import timezone

from resources.models import TWO_APPROVERS_FROM, Approval, Invoice, Vendor, normalise_number
from security.models import AuditEvent
from tests import factories
from tests.clients import Api, comparable, faults
from tests.parallel import until_somebody_waits

pytestmark = pytest.mark.django_db

UNKNOWN = "01a20b51-1e4c-77a9-81e6-aaeaf2d023ae"
ACTIONS = ("submit", "approve", "reject", "void", "release")
STATES = ("draft", "submitted", "approved", "released", "rejected", "void")
ROLE_OF = {
    "submit": "clerk",
    "approve": "approver",
    "reject": "approver",
    "void": "approver",
    "release": "treasurer",
}
#: state → what may happen next, by the role above.
NEXT = {
    "draft": {"submit": "submitted", "void": "void"},
    "submitted": {"approve": "approved", "reject": "rejected", "void": "void"},
    "approved": {"release": "released", "void": "void"},
    "released": {},
    "rejected": {},
    "void": {},
}


def act(api, invoice, action, body=None, **headers):
    return api.send("POST", f"/v1/invoices/{invoice}/{action}", body, **headers)


def test_from_draft_to_released_and_every_step_is_audited(us, make):
    invoice = make.invoice(us, state="released")

    body = us.auditor.get(f"/v1/invoices/{invoice}").json()
    assert (body["status"], body["currency"], body["amount"]) == ("released", "EUR", 1000)
    tags = AuditEvent.objects.filter(target_id=invoice).order_by("pk").values_list("event", flat=True)
    assert list(tags) == [
        f"invoices:invoice:{step}" for step in ("created", "submitted", "approved", "released")
    ]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("action", ACTIONS)
def test_the_state_machine_is_exactly_this(us, make, state, action):
    invoice = make.invoice(us, state=state)
    # A second approver: the first already had a part in it.
    role = "clerk" if (state, action) == ("draft", "void") else ROLE_OF[action]
    before = Invoice.objects.get().version

    response = act(getattr(us, role), invoice, action)

    if action in NEXT[state]:
        assert response.status_code == 200, response.content
        assert response.json()["status"] == NEXT[state][action]
        assert response.json()["version"] == before + 1
    else:
        assert response.status_code == 409
        assert response.json()["type"].endswith("/problems/state-conflict")
        assert response.json()["status_of_object"] == state
        assert Invoice.objects.get().status == state
        assert Invoice.objects.get().version == before


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("role", ["clerk", "approver", "treasurer", "auditor", "org_admin"])
def test_who_may_do_what(us, make, role, action):
    state = {"submit": "draft", "release": "approved"}.get(action, "submitted")
    invoice = make.invoice(us, state=state)
    permitted = {"submit": {"clerk"}, "release": {"treasurer"}, "void": {"approver", "clerk"}}.get(
        action, {"approver"}
    )

    response = act(getattr(us, role), invoice, action)

    if role not in permitted:
        assert response.status_code == 403
        assert Invoice.objects.get().status == state
    elif (role, action) == ("clerk", "void"):
        assert response.status_code == 409  # a clerk voids drafts only
    else:
        assert response.status_code == 200


def test_a_clerk_voids_a_draft(us, make):
    assert act(us.clerk, make.invoice(us), "void").json()["status"] == "void"


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_needs_its_scope(us, make, action):
    invoice = make.invoice(us)
    weak = Api(factories.token(us.users[ROLE_OF[action]], us.organisation, scopes="invoices:read"))

    assert act(weak, invoice, action).status_code == 403


def test_404_comes_before_403_for_those_who_may_read(us, them, make):
    invoice = make.invoice(us, state="submitted")
    scopes = "invoices:read invoices:write"
    without_scope = Api(factories.token(them.users["approver"], them.organisation, scopes=scopes))
    assert act(without_scope, invoice, "approve").status_code == 404
    assert act(without_scope, make.invoice(them, state="submitted"), "approve").status_code == 403


def test_for_those_who_may_not_read_it_is_403_whatever_the_id(us, them, make):
    ours, theirs = make.invoice(us), make.invoice(them)
    for api in (
        us.org_admin,
        Api(factories.token(us.users["clerk"], us.organisation, scopes="account:read")),
    ):
        answers = [
            comparable(act(api, invoice, "approve")) for invoice in (ours, theirs, UNKNOWN, "nonsense")
        ]
        assert all(answer == answers[0] for answer in answers)
        assert answers[0][0] == 403


@pytest.mark.parametrize("action", ["", *(f"/{action}" for action in ACTIONS)])
@pytest.mark.parametrize("state", ["draft", "submitted", "approved"])
def test_a_foreign_invoice_is_one_that_does_not_exist(us, them, make, state, action):
    invoice = make.invoice(us, state=state)

    for role in ("clerk", "approver", "treasurer", "auditor"):
        api = getattr(them, role)
        for method in ["POST"] if action else ["GET", "PATCH"]:
            body = {"amount": 5} if method == "PATCH" else None
            foreign = api.send(method, f"/v1/invoices/{invoice}{action}", body)
            unknown = api.send(method, f"/v1/invoices/{UNKNOWN}{action}", body)
            assert comparable(foreign) == comparable(unknown)
            assert foreign.status_code == 404
    assert Invoice.objects.get().status == state


@pytest.mark.parametrize(
    "spelling", [str.upper, lambda text: text.replace("-", ""), lambda text: text + "%00", lambda text: "1"]
)
def test_an_own_invoice_has_one_name(us, make, spelling):
    invoice = make.invoice(us)

    assert us.clerk.get(f"/v1/invoices/{spelling(invoice)}").status_code == 404


def test_a_foreign_vendor_is_refused_like_an_unknown_one(us, them, make):
    body = {"number": "1", "amount": 1, "issue_date": "2026-11-01", "due_date": "2026-11-01"}
    foreign = us.clerk.send("POST", "/v1/invoices", {**body, "vendor": make.vendor(them)})
    unknown = us.clerk.send("POST", "/v1/invoices", {**body, "vendor": UNKNOWN})

    assert comparable(foreign) == comparable(unknown)
    assert faults(foreign) == {("/vendor", "not-found")}


def test_a_draft_cannot_be_moved_to_a_foreign_vendor(us, them, make):
    invoice = make.invoice(us)

    response = us.clerk.send("PATCH", f"/v1/invoices/{invoice}", {"vendor": make.vendor(them)})

    assert faults(response) == {("/vendor", "not-found")}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"status": "released"}, ("/status", "unknown")),
        ({"approvals": []}, ("/approvals", "unknown")),
        ({"released_by": 1}, ("/released_by", "unknown")),
        ({"created_by": 1}, ("/created_by", "unknown")),
        ({"currency": "USD"}, ("/currency", "unknown")),
        ({"vendor_id": 1}, ("/vendor_id", "unknown")),
        ({"vendor": 1}, ("/vendor", "type")),
        ({"vendor": "1"}, ("/vendor", "not-found")),
        ({"amount": "5"}, ("/amount", "type")),
        ({"amount": 5.0}, ("/amount", "type")),
        ({"amount": True}, ("/amount", "type")),
        ({"amount": 0}, ("/amount", "min-value")),
        ({"amount": -1}, ("/amount", "min-value")),
        ({"amount": 10**12}, ("/amount", "max-value")),
        ({"amount": None}, ("/amount", "null")),
        ({"number": 5}, ("/number", "type")),
        ({"number": ""}, ("/number", "blank")),
        ({"number": "---"}, ("/number", "empty")),
        ({"issue_date": "tomorrow"}, ("/issue_date", "format")),
        ({"due_date": "2026-10-01"}, ("/due_date", "order")),
        ({"internal_note": "\u202e"}, ("/internal_note", "characters")),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(us, make, change, fault):
    body = {
        "vendor": make.vendor(us),
        "number": "1",
        "amount": 1,
        "issue_date": "2026-11-01",
        "due_date": "2026-11-01",
    }

    response = us.clerk.send("POST", "/v1/invoices", {**body, **change})

    assert response.status_code == 400
    assert fault in faults(response)
    assert not Invoice.objects.exists()


@pytest.mark.parametrize(
    "query", ["?colour=red", "?status=paid", "?status=draft&status=void", "?limit=x", "?vendor=1"]
)
def test_an_unknown_or_bad_parameter_is_named(us, query):
    response = us.clerk.get(f"/v1/invoices{query}")

    assert response.status_code == 400
    assert {parameter for parameter, _ in faults(response)} == {query[1:].split("=")[0]}


def test_an_action_takes_no_body(us, make):
    invoice = make.invoice(us)

    assert faults(act(us.clerk, invoice, "submit", {"status": "released"})) == {("/status", "unknown")}
    assert Invoice.objects.get().status == "draft"
    assert act(us.clerk, invoice, "submit", {}).status_code == 200


def test_a_draft_is_edited_and_nothing_later(us, make):
    invoice = make.invoice(us)
    assert us.clerk.send("PATCH", f"/v1/invoices/{invoice}", {"amount": 7}).json()["amount"] == 7
    act(us.clerk, invoice, "submit")

    response = us.clerk.send("PATCH", f"/v1/invoices/{invoice}", {"amount": 8})

    assert response.status_code == 409
    assert Invoice.objects.get().amount == 7


@pytest.mark.parametrize("field", ["vendor", "number", "amount", "issue_date", "due_date"])
def test_what_is_submitted_is_settled_but_for_the_note(us, make, field):
    invoice = make.invoice(us, state="submitted")
    values = {"vendor": make.vendor(us), "number": "N-other", "amount": 8}
    values |= {"issue_date": "2026-11-02", "due_date": "2026-12-03"}

    response = us.clerk.send("PATCH", f"/v1/invoices/{invoice}", {"internal_note": "x", field: values[field]})

    assert response.status_code == 409
    assert response.json()["type"].endswith("/problems/field-frozen")
    assert faults(response) == {(f"/{field}", "frozen")}
    assert us.clerk.get(f"/v1/invoices/{invoice}").json()["internal_note"] == ""
    noted = us.clerk.send("PATCH", f"/v1/invoices/{invoice}", {"internal_note": "asked for a copy"})
    assert noted.json()["internal_note"] == "asked for a copy"
    us.approver.send("POST", f"/v1/invoices/{invoice}/approve")
    assert us.clerk.send("PATCH", f"/v1/invoices/{invoice}", {"internal_note": "y"}).status_code == 409


def test_a_partial_edit_keeps_the_dates_in_order(us, make):
    invoice = make.invoice(us)

    assert faults(us.clerk.send("PATCH", f"/v1/invoices/{invoice}", {"due_date": "2026-10-31"})) == {
        ("/due_date", "order")
    }
    assert faults(us.clerk.send("PATCH", f"/v1/invoices/{invoice}", {"issue_date": "2026-12-31"})) == {
        ("/due_date", "order")
    }


@pytest.mark.parametrize("spelling", ["rg 2026 / 001", "RG-2026-001", "rg2026001", "\uff32G2026001"])
def test_a_number_is_unique_for_a_vendor_however_spelled(us, make, spelling):
    vendor = make.vendor(us)
    make.invoice(us, vendor, number="RG-2026/001")
    body = {
        "vendor": vendor,
        "number": spelling,
        "amount": 1,
        "issue_date": "2026-11-01",
        "due_date": "2026-11-01",
    }

    assert us.clerk.send("POST", "/v1/invoices", body).status_code == 409
    assert Invoice.objects.count() == 1
    assert us.clerk.send("POST", "/v1/invoices", {**body, "vendor": make.vendor(us)}).status_code == 201


def test_numbers_are_compared_without_case_blanks_and_punctuation():
    assert normalise_number(" rg-2026/001_a ") == "RG2026001A"


# --- separation of duties, verification, cooling-off ---


def test_an_approver_approves_once(us, make):
    invoice = make.invoice(us, state="submitted", amount=TWO_APPROVERS_FROM)
    assert act(us.approver, invoice, "approve").json()["status"] == "submitted"

    again = act(us.approver, invoice, "approve")

    assert again.status_code == 403
    assert again.json()["type"].endswith("/problems/separation-of-duties")
    assert act(us.approver2, invoice, "approve").json()["status"] == "approved"


def test_the_creator_cannot_approve_whatever_the_role_became(us, make):
    invoice = make.invoice(us, state="submitted")
    us.users["clerk"].memberships.update(role="approver")

    assert act(us.clerk, invoice, "approve").status_code == 403


def test_an_approver_cannot_release_whatever_the_role_became(us, make):
    invoice = make.invoice(us, state="approved")
    us.users["approver"].memberships.update(role="treasurer")

    response = act(us.approver, invoice, "release")

    assert response.status_code == 403
    assert Invoice.objects.get().status == "approved"


def test_the_last_editor_of_the_bank_details_neither_approves_nor_releases(us, make):
    invoice = make.invoice(us, state="submitted")
    Vendor.objects.update(bank_changed_by=us.users["approver"])
    assert act(us.approver, invoice, "approve").status_code == 403

    Vendor.objects.update(bank_changed_by=us.users["treasurer"])
    act(us.approver, invoice, "approve")
    assert act(us.treasurer, invoice, "release").status_code == 403


@pytest.mark.parametrize("verification", ["unverified", "mismatch", "unknown"])
def test_nothing_is_released_to_an_unverified_vendor(us, make, verification):
    invoice = make.invoice(us, state="approved")
    Vendor.objects.update(verification=verification)

    response = act(us.treasurer, invoice, "release")

    assert response.status_code == 409
    assert response.json()["type"].endswith("/problems/vendor-not-verified")


def test_nothing_is_released_while_cooling_off(us, make):
    from django.utils import timezone

    invoice = make.invoice(us, state="approved")
    Vendor.objects.update(bank_changed_at=timezone.now())

    response = act(us.treasurer, invoice, "release")

    assert response.status_code == 409
    assert response.json()["type"].endswith("/problems/cooling-off")


def test_a_refused_action_leaves_no_data_event(us, make):
    invoice = make.invoice(us, state="approved")
    Vendor.objects.update(verification="unknown")
    act(us.treasurer, invoice, "release")

    assert not AuditEvent.objects.filter(event="invoices:invoice:released").exists()


# --- in parallel ---


@pytest.mark.django_db(transaction=True)
def test_of_parallel_releases_one_wins(us, make):
    invoice = make.invoice(us, state="approved")

    answers = in_parallel(8, lambda: act(us.treasurer, invoice, "release", HTTP_IF_MATCH='"3"'))

    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    assert AuditEvent.objects.filter(event="invoices:invoice:released").count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("action", ["approve", "release"])
def test_an_account_that_is_being_changed_is_waited_for(us, make, action):
    """Judged by the one of a moment before, it would be paid to an account that nobody has verified."""
    invoice = make.invoice(us, state="submitted" if action == "approve" else "approved")
    judge, version = (us.approver, 2) if action == "approve" else (us.treasurer, 3)
    answers = []

    def judged():
        try:
            answers.append(act(judge, invoice, action, HTTP_IF_MATCH=f'"{version}"'))
        finally:
            connection.close()

    thread = threading.Thread(target=judged)
    with transaction.atomic():
        vendor = Vendor.objects.select_for_update().get()
        editor = us.users["approver" if action == "approve" else "clerk2"].pk
        vendor.change_bank("NO9386011117947", user_id=editor, now=timezone.now())
        thread.start()
        until_somebody_waits()
    thread.join()

    assert answers[0].status_code == (403 if action == "approve" else 409)
    assert Invoice.objects.get().status != action + "d"


@pytest.mark.django_db(transaction=True)
def test_a_share_and_a_release_do_not_wait_for_each_other(us, make):
    """Both lock the vendor and then its invoices, in this order."""
    invoice = make.invoice(us, state="approved")
    vendor = str(Vendor.objects.get().public_id)
    contacts = [factories.member("contact", us.organisation) for _ in range(8)]

    def share(contact):
        body = {"contact": str(contact.public_id)}
        return us.org_admin.send("POST", f"/v1/vendors/{vendor}/shares", body)

    def release():
        return act(us.treasurer, invoice, "release", HTTP_IF_MATCH='"3"')

    calls = [release] * 4 + [partial(share, contact) for contact in contacts]
    answers = in_parallel(len(calls), calls)

    assert sorted(answer.status_code for answer in answers) == [200] + [201] * 8 + [412] * 3


@pytest.mark.django_db(transaction=True)
def test_parallel_approvals_of_one_person_count_once(us, make):
    invoice = make.invoice(us, state="submitted", amount=TWO_APPROVERS_FROM)

    answers = in_parallel(8, lambda: act(us.approver, invoice, "approve", HTTP_IF_MATCH='"2"'))

    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    assert Approval.objects.count() == 1
    assert Invoice.objects.get().status == "submitted"


@pytest.mark.django_db(transaction=True)
def test_of_parallel_creations_of_one_number_one_wins(us, make):
    body = {
        "vendor": make.vendor(us),
        "number": "1",
        "amount": 1,
        "issue_date": "2026-11-01",
        "due_date": "2026-11-01",
    }

    answers = in_parallel(8, lambda: us.clerk.send("POST", "/v1/invoices", body))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert Invoice.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_edit_and_a_submission_of_one_version_are_one(us, make):
    """What was submitted is what somebody saw: of the two the second is refused, not lost."""
    invoice = make.invoice(us)
    calls = [
        lambda: us.clerk.send("PATCH", f"/v1/invoices/{invoice}", {"amount": 7}, HTTP_IF_MATCH='"1"'),
        lambda: act(us.clerk, invoice, "submit", HTTP_IF_MATCH='"1"'),
    ]

    edit, submission = in_parallel(2, calls)

    stored = Invoice.objects.get()
    assert (edit.status_code, submission.status_code, stored.amount, stored.status) in {
        (200, 412, 7, "draft"),
        (412, 200, 1000, "submitted"),
    }


def in_parallel(number, call):
    """``call`` (or each of a list) from threads of their own, started together; the answers in order."""
    calls = call if isinstance(call, list) else [call] * number
    barrier, answers = threading.Barrier(number), [None] * number

    def run(index):
        barrier.wait()
        try:
            answers[index] = calls[index]()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize("number", ["ß" * 40, "\ufdfa" * 10, "㎯" * 20])
def test_a_number_that_grows_when_it_is_normalised_is_refused(us, make, number):
    body = {"vendor": make.vendor(us), "number": number, "amount": 1}
    body |= {"issue_date": "2026-11-01", "due_date": "2026-12-01"}

    response = us.clerk.send("POST", "/v1/invoices", body)

    assert response.status_code == 400
    assert faults(response) == {("/number", "max-length")}


# --- step-up: releasing needs a recent sign-in ---


def treasurer_who_signed_in(us, minutes, **fields):
    user = factories.member("treasurer", us.organisation)
    signed_in = timezone.now() - timedelta(minutes=minutes)
    return Api(factories.token(user, us.organisation, auth_time=signed_in, **fields))


def test_releasing_needs_a_sign_in_of_the_last_five_minutes(us, make):
    invoice = make.invoice(us, state="approved")

    refused = act(treasurer_who_signed_in(us, 6), invoice, "release")

    assert refused.status_code == 401
    assert refused.json()["type"].endswith("/problems/insufficient-user-authentication")
    assert refused["WWW-Authenticate"] == (
        'Bearer realm="api", error="insufficient_user_authentication", max_age="300"'
    )
    assert Invoice.objects.get().status == "approved"
    assert act(treasurer_who_signed_in(us, 4), invoice, "release").status_code == 200


def test_everything_else_works_with_an_old_sign_in(us, make):
    invoice = make.invoice(us, state="approved")

    assert treasurer_who_signed_in(us, 600).get(f"/v1/invoices/{invoice}").status_code == 200
