"""tests.answers: a leak that is planted anywhere turns the run red."""

import json
import secrets
from contextlib import contextmanager

import pytest
from django.conf import settings

from accounts.models import Session
from accounts.oauth.validators import digest
from security import errors
from security.headers import HeadersMiddleware
from tests import factories
from tests.answers import PROBLEM, Call, Fault, account_numbers
from tests.clients import Api, Page
from tests.contract.walk import example, operations, perform

readers = [operation for operation in operations() if operation.rule.response is not None]
IBAN = "DE89370400440532013000"


@contextmanager
def noticed(watched, what):
    with pytest.raises(Fault, match=what):
        yield
    assert watched.faults
    watched.faults.clear()


@pytest.fixture
def us(db):
    from tests.contract.walk import Team

    return Team()


# --- planted in the service ---


@pytest.mark.parametrize("operation", readers, ids=lambda operation: operation.name)
def test_a_field_more_in_any_serializer(operation, us, monkeypatch, watched):
    reader = operation.rule.response
    original = reader.to_representation
    monkeypatch.setattr(
        reader, "to_representation", lambda self, instance: {**original(self, instance), "extra": "x"}
    )

    with noticed(watched, "off the schema"):
        perform(operation, us, example(operation, us))


def plant(monkeypatch, field, value):
    """``value`` in a declared string of /v1/me."""
    from accounts.serializers import MeReader

    original = MeReader.to_representation
    monkeypatch.setattr(
        MeReader, "to_representation", lambda self, access: {**original(self, access), field: value}
    )


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda user, token: user.password, "a password hash"),
        (lambda user, token: digest(token), "AccessToken.token_checksum"),
        (lambda user, token: digest(secrets.token_hex()), "a digest"),
        (lambda user, token: f"of {token}", "the request's Authorization"),
        (lambda user, token: settings.SECRET_KEY, "the setting SECRET_KEY"),
        (lambda user, token: f"x {settings.DATABASES['default']['PASSWORD']} x", "the password of DATABASES"),
        (lambda user, token: "SELECT id FROM accounts_user", "SQL"),
        (lambda user, token: 'File "/srv/x.py", line 3', "a traceback"),
        (lambda user, token: "postgresql://a:b@db/x", "a URL with a password"),
        (lambda user, token: f"pay to {IBAN}", "an account number"),
        (lambda user, token: "pay to DE89 3704 0044 0532 0130 00", "an account number"),
    ],
)
def test_a_value_in_a_field_that_may_be_there(acme, monkeypatch, watched, make, what):
    user = factories.member("auditor", acme)
    token = factories.token(user, acme)
    plant(monkeypatch, "client", make(user, token))

    with noticed(watched, what):
        Api(token).get("/v1/me")


def test_a_secret_in_an_error(api, monkeypatch, watched):
    original = errors.problem_response

    def leaky(request, status, **kwargs):
        return original(request, status, **{**kwargs, "detail": f"cannot sign with {settings.SECRET_KEY}"})

    monkeypatch.setattr(errors, "problem_response", leaky)

    with noticed(watched, "the setting SECRET_KEY"):
        api.get("/v1/me?x=1")


def test_a_member_more_in_an_error(api, monkeypatch, watched):
    monkeypatch.setattr(errors.InvalidInput, "default_detail", "x" * 600)

    with noticed(watched, "Problem|problem|off the schema"):
        api.get("/v1/me?x=1")


def test_a_value_of_a_refused_request(api, monkeypatch, watched):
    monkeypatch.setattr(
        errors, "problem_errors", lambda exc, kind: [{"code": "x", "detail": "hunter2-hunter2"}]
    )

    with noticed(watched, "repeats a value"):
        api.get("/v1/me?x=hunter2-hunter2")


def test_a_secret_in_a_header(api, monkeypatch, watched):
    original = HeadersMiddleware.__call__

    def leaky(self, request):
        response = original(self, request)
        response["X-Debug"] = settings.DATABASES["default"]["PASSWORD"]
        return response

    monkeypatch.setattr(HeadersMiddleware, "__call__", leaky)

    with noticed(watched, "the password of DATABASES"):
        api.get("/v1/me")


def test_a_session_key_in_a_page(acme, monkeypatch, watched):
    user = factories.member("auditor", acme)
    page = Page()
    page.sign_in(user)
    Session.objects.filter(user=user).update(user_agent=page.cookies["__Host-session"].value)

    with noticed(watched, "the request's Cookie"):
        page.get("/account")


def test_a_status_that_is_not_documented(api, monkeypatch, watched):
    from rest_framework.response import Response

    from accounts.me import MeViewSet

    monkeypatch.setattr(MeViewSet, "retrieve", lambda self, request, **kwargs: Response({}, status=202))

    with noticed(watched, "not documented with 202"):
        api.get("/v1/me")


def test_what_the_settings_of_a_test_add(api, monkeypatch, watched, settings):
    settings.SIGNING_KEYS = ["k" * 20 + secrets.token_hex(20)]
    plant(monkeypatch, "client", settings.SIGNING_KEYS[0])

    with noticed(watched, "the setting SIGNING_KEYS"):
        api.get("/v1/me")


# --- the looking itself ---


def call(body, *, path="/problems/x", status=200, media_type="application/json", **sent):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Call("GET", path, sent, b"", status, [("Content-Type", media_type)], raw)


@pytest.mark.parametrize(
    "body",
    [{"id": 1}, {"items": [{"vendor_id": 7}]}, {"a": {"pk": 3}}, {"id": "12"}, {"vendorId": 9}],
)
def test_an_internal_key_is_found_at_any_depth(watched, body):
    with noticed(watched, "an internal key"):
        watched.look(call(body))


@pytest.mark.parametrize("body", [{"id": "a-b"}, {"valid": 1}, {"paid": 2}, {"id": None}, {"is_id": True}])
def test_what_is_no_internal_key(watched, body):
    watched.look(call(body))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (IBAN, 1),
        ("GB82 WEST 1234 5698 7654 32", 1),
        ("DE89370400440532013001", 0),
        ("•••• 3000", 0),
        ("01A20B51-1E4C-77A9-81E6-AAEAF2D023AE", 0),
    ],
)
def test_account_numbers_are_known_by_their_check_digits(text, found):
    assert len(list(account_numbers(text))) == found


def test_what_is_no_operation_has_to_be_a_problem(watched):
    with noticed(watched, "is no problem"):
        watched.look(call({}, path="/v1/nowhere", status=404))
    body = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "x"}
    body["instance"] = "urn:uuid:01a20b51-1e4c-77a9-81e6-aaeaf2d023ae"
    watched.look(call(body, path="/v1/nowhere", status=404, media_type=PROBLEM))


def test_served_answers_are_looked_at(live, watched):
    before = watched.answers
    assert live.get("/v1/me")[0] == 401

    assert watched.answers == before + 1
