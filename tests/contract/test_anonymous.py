"""Nobody gets in without a token: every operation, and every route that is not API by declaration."""

import pytest

from security.audit import Event
from security.models import AuditEvent
from tests.clients import PROBLEM, Api
from tests.contract.walk import example, operations

CREDENTIALS = {
    "none": {},
    "an unknown token": {"HTTP_AUTHORIZATION": "Bearer nonsense"},
    "an unknown token in lower case": {"HTTP_AUTHORIZATION": "bearer nonsense"},
}


@pytest.mark.parametrize("credentials", CREDENTIALS)
@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.name)
def test_it_is_401_and_writes_nothing(operation, credentials, us):
    call = example(operation, us)
    path = operation.path(call.target.public_id if call.target else "")

    response = Api(**CREDENTIALS[credentials]).send(operation.method, path, call.body)

    assert response.status_code == 401
    assert response["Content-Type"] == PROBLEM
    assert response["WWW-Authenticate"].startswith('Bearer realm="api"')
    assert ("invalid_token" in response["WWW-Authenticate"]) is (credentials != "none")
    own = AuditEvent.objects.exclude(event__startswith="test:")  # those are the example's
    assert not own.exclude(event=Event.UNAUTHENTICATED).exists()
    if call.target:
        before = {k: v for k, v in vars(call.target).items() if not k.startswith("_")}
        call.target.refresh_from_db()
        assert {k: v for k, v in vars(call.target).items() if k in before} == before


@pytest.mark.django_db
@pytest.mark.parametrize(
    "route",
    [
        "/docs",
        "/docs/openapi.yaml",
        "/oauth/authorize",
        "/account",
        "/account/totp",
        "/account/passkeys",
        "/account/factors/1/remove",
        "/account/recovery-codes",
        "/account/password",
        "/account/email",
        "/account/email/x",
        "/reauthenticate",
    ],
)
def test_the_pages_need_a_session(route):
    response = Api().get(route)

    assert response.status_code == 302
    assert response["Location"].startswith("/sign-in?next=")
