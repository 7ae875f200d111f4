"""If-Match and Idempotency-Key on vendors and invoices, and PATCH as a merge patch."""

import uuid
from dataclasses import replace

import pytest

from resources.models import Invoice
from resources.views import InvoiceViewSet, VendorViewSet
from security.models import AuditEvent
from security.policy import check_policy
from tests.clients import faults
from tests.resources.test_invoices import ACTIONS, act, in_parallel

pytestmark = pytest.mark.django_db


def slug(response):
    return response.json()["type"].rpartition("/")[2]


def test_every_answer_that_shows_one_object_carries_its_version(us, make):
    invoice = make.invoice(us)
    assert us.clerk.get(f"/v1/invoices/{invoice}")["ETag"] == '"1"'
    assert us.clerk.head(f"/v1/invoices/{invoice}")["ETag"] == '"1"'
    assert us.clerk.send("PATCH", f"/v1/invoices/{invoice}", {"amount": 5})["ETag"] == '"2"'
    assert act(us.clerk, invoice, "submit")["ETag"] == '"3"'
    assert "ETag" not in us.clerk.get("/v1/invoices")


@pytest.mark.parametrize("action", [None, *ACTIONS])
def test_without_the_version_nothing_changes(us, make, action):
    invoice = make.invoice(us)
    roles = {"approve": us.approver, "reject": us.approver, "release": us.treasurer}
    method, path = (
        ("POST", f"/v1/invoices/{invoice}/{action}") if action else ("PATCH", f"/v1/invoices/{invoice}")
    )
    body = None if action else {"amount": 5}

    for sent, status in {"": 428, "*": 428, "1": 400, '"99"': 412, 'W/"1"': 412}.items():
        response = roles.get(action, us.clerk).send(method, path, body, HTTP_IF_MATCH=sent)
        assert response.status_code == status
    stored = Invoice.objects.get()
    assert (stored.version, stored.status, stored.amount) == (1, "draft", 1000)


def test_an_approver_does_not_approve_what_changed_since_they_read_it(us, make):
    """The note is open until the decision, and part of it."""
    invoice = make.invoice(us, state="submitted")
    seen = us.approver.get(f"/v1/invoices/{invoice}")["ETag"]
    us.clerk.send("PATCH", f"/v1/invoices/{invoice}", {"internal_note": "pay to the other account"})

    refused = act(us.approver, invoice, "approve", HTTP_IF_MATCH=seen)

    assert (refused.status_code, slug(refused)) == (412, "precondition-failed")
    assert act(us.approver, invoice, "approve").status_code == 200


def test_of_two_edits_of_one_version_the_second_is_refused(us, make):
    vendor = make.vendor(us)
    edits = [
        us.clerk.send("PATCH", f"/v1/vendors/{vendor}", {"country": country}, HTTP_IF_MATCH='"1"')
        for country in ("NO", "SE")
    ]

    assert [edit.status_code for edit in edits] == [200, 412]
    assert us.clerk.get(f"/v1/vendors/{vendor}").json()["country"] == "NO"


def test_a_condition_that_nobody_judges_is_not_passed_over(us, make):
    vendor = make.vendor(us)
    body = {"name": "Another", "contact_email": "a@b.example", "country": "DE"}

    assert us.clerk.send("POST", "/v1/vendors", body, HTTP_IF_MATCH='"1"').status_code == 412
    assert us.clerk.get(f"/v1/vendors/{vendor}", HTTP_IF_MATCH='"9"').status_code == 200


@pytest.mark.parametrize(("view", "action"), [(VendorViewSet, "partial_update"), (InvoiceViewSet, "approve")])
def test_an_action_that_does_not_say_whether_it_changes_the_object_does_not_start(view, action, monkeypatch):
    monkeypatch.setitem(view.rules, action, replace(view.rules[action], if_match=None))

    (error,) = check_policy()

    assert error.id == "security.E002"
    assert "if_match must be True, or False" in error.msg


def test_a_handler_that_forgets_to_compare_fails_and_writes_nothing(us, make, monkeypatch):
    def submit(self, request, **kwargs):
        Invoice.objects.update(status="submitted")
        return self.respond(Invoice.objects.select_related("vendor").get())

    invoice = make.invoice(us)
    monkeypatch.setattr(InvoiceViewSet, "submit", submit)

    assert act(us.clerk, invoice, "submit").status_code == 500


# --- paid once ---


def release(us, invoice, key, if_match='"3"'):
    return act(us.treasurer, invoice, "release", HTTP_IDEMPOTENCY_KEY=key, HTTP_IF_MATCH=if_match)


def test_a_release_that_is_sent_again_pays_once_and_is_answered_the_same(us, make):
    invoice, key = make.invoice(us, state="approved"), str(uuid.uuid4())

    first, again = release(us, invoice, key), release(us, invoice, key)

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content
    assert first["ETag"] == again["ETag"] == '"4"'
    assert AuditEvent.objects.filter(event="invoices:invoice:released").count() == 1


def test_a_key_of_one_release_releases_no_other_invoice(us, make):
    first, second = (make.invoice(us, state="approved") for _ in range(2))
    key = str(uuid.uuid4())
    release(us, first, key)

    assert release(us, second, key).status_code == 422
    assert Invoice.objects.get(public_id=second).status == "approved"


def test_who_is_no_treasurer_any_more_gets_no_replay(us, make):
    invoice, key = make.invoice(us, state="approved"), str(uuid.uuid4())
    release(us, invoice, key)
    us.users["treasurer"].memberships.update(role="auditor")

    refused = release(us, invoice, key)

    assert refused.status_code == 403
    assert invoice not in refused.content.decode()


@pytest.mark.django_db(transaction=True)
def test_of_eight_releases_with_one_key_one_pays(us, make):
    invoice, key = make.invoice(us, state="approved"), str(uuid.uuid4())

    answers = in_parallel(8, lambda: release(us, invoice, key))

    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    assert {slug(answer) for answer in answers if answer.status_code == 409} <= {"idempotency-key-in-use"}
    assert AuditEvent.objects.filter(event="invoices:invoice:released").count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_eight_creations_with_one_key_one_row_is_made(us, make):
    body = {"vendor": make.vendor(us), "number": "1", "amount": 1}
    body |= {"issue_date": "2026-11-01", "due_date": "2026-11-01"}
    key = str(uuid.uuid4())

    answers = in_parallel(8, lambda: us.clerk.send("POST", "/v1/invoices", body, HTTP_IDEMPOTENCY_KEY=key))

    assert Invoice.objects.count() == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {slug(answer) for answer in answers if answer.status_code == 409} <= {"idempotency-key-in-use"}


# --- PATCH is a merge patch, RFC 7396 ---


def patch(us, invoice, body, content_type="application/merge-patch+json"):
    path = f"/v1/invoices/{invoice}"
    return us.clerk.send("PATCH", path, body, HTTP_CONTENT_TYPE=content_type, CONTENT_TYPE=content_type)


def test_null_removes_what_may_be_left_out(us, make):
    invoice = make.invoice(us, internal_note="ask first")

    response = patch(us, invoice, {"internal_note": None})

    assert response.status_code == 200
    assert response.json()["internal_note"] == ""
    assert response.json()["amount"] == 1000


def test_null_is_refused_where_something_has_to_be(us, make):
    invoice = make.invoice(us)

    response = patch(us, invoice, {"amount": None, "due_date": None, "internal_note": None})

    assert response.status_code == 400
    assert faults(response) == {("/amount", "null"), ("/due_date", "null")}


def test_a_create_is_no_patch(us, make):
    body = {"vendor": make.vendor(us), "number": "1", "amount": 1, "internal_note": None}
    body |= {"issue_date": "2026-11-01", "due_date": "2026-11-01"}

    assert faults(us.clerk.send("POST", "/v1/invoices", body)) == {("/internal_note", "null")}


@pytest.mark.parametrize("content_type", ["application/json", "application/merge-patch+json; charset=utf-8"])
def test_it_may_be_called_what_it_is(us, make, content_type):
    assert patch(us, make.invoice(us), {"amount": 5}, content_type).json()["amount"] == 5


def test_nothing_else_takes_a_patch(us, make):
    path, body = f"/v1/invoices/{make.invoice(us)}/submit", {}

    response = us.clerk.send("POST", path, body, CONTENT_TYPE="application/merge-patch+json")

    assert response.status_code == 415


def test_a_patch_that_is_no_object_is_refused(us, make):
    response = patch(us, make.invoice(us), [{"op": "replace", "path": "/amount", "value": 5}])

    assert faults(response) == {("", "type")}
