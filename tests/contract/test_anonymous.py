"""Nobody gets in without a token: every operation, and every route that is not API by declaration."""

import pytest

from security.audit import Event
from security.models import AuditEvent
from security.policy import walk_routes
from tests.clients import PROBLEM, Api
from tests.contract.walk import example, operations

CREDENTIALS = {
    "none": {},
    "an unknown token": {"HTTP_AUTHORIZATION": "Bearer nonsense"},
    "an unknown token in lower case": {"HTTP_AUTHORIZATION": "bearer nonsense"},
}

#: Everything that is not API. A new entry is a decision: change this list with its reason in the URLconf.
NOT_API = {
    "oauth/authorize",
    "oauth/introspect",
    "oauth/par",
    "oauth/token",
    "oauth/revoke",
    ".well-known/oauth-authorization-server",
    ".well-known/oauth-protected-resource",
    "sign-in",
    "sign-in/passkey",
    "sign-in/code",
    "sign-in/enrol",
    "sign-in/abandon",
    "sign-out",
    "signed-out",
    "reauthenticate",
    "account",
    "account/sessions/end",
    "account/totp",
    "account/passkeys",
    "account/factors/<int:pk>/remove",
    "account/recovery-codes",
    "account/password",
    "account/password/changed",
    "account/email",
    "account/email/<str:token>",
    "password-reset",
    "password-reset/<str:uidb64>/<str:token>",
    "invitation/<str:organisation>/<str:token>",
    "docs",
    "docs/openapi.yaml",
    "docs/oauth2-redirect",
    "problems/<slug:slug>",
    "healthz",
    "readyz",
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


def test_what_is_not_api_is_this_list():
    assert {route for route, view in walk_routes() if not hasattr(view, "actions")} == NOT_API


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
