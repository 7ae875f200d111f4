"""Rows for tests. Alice's organisation is Acme; Globex is somebody else's."""

import secrets
from datetime import timedelta
from itertools import count
from typing import Any

from django.conf import settings
from django.utils import timezone

from accounts.models import Membership, Organisation, User
from accounts.oauth.models import AccessToken, Application
from accounts.oauth.validators import digest
from security.scopes import all_scopes

PASSWORD = "correct horse battery staple"
CALLBACK = "https://client.example/callback"

number = count(1)


def organisation(name: str = "", currency: str = "EUR") -> Organisation:
    return Organisation.objects.create(name=name or f"Organisation {next(number)}", currency=currency)


def member(role: str, of: Organisation, **fields: Any) -> User:
    """A user with ``role`` in ``of``."""
    user = User.objects.create_user(
        f"{role}{next(number)}@{secrets.token_hex(4)}.example", PASSWORD, name="Alice", **fields
    )
    Membership.objects.create(user=user, organisation=of, role=role)
    return user


def public_client(**fields: Any) -> Application:
    """A client for the code flow with PKCE."""
    defaults = {
        "name": "A client",
        "client_type": "public",
        "authorization_grant_type": "authorization-code",
        "token_endpoint_auth_method": "none",
        "client_secret": "",
        "redirect_uris": CALLBACK,
        "scopes": list(all_scopes()),
    }
    return Application.objects.create(**{**defaults, **fields})


def service_client(of: Organisation, responsible: User, *, secret: str, **fields: Any) -> Application:
    """A client that acts for itself."""
    defaults = {
        "name": "A service",
        "client_type": "confidential",
        "authorization_grant_type": "client-credentials",
        "client_secret": secret,
        "organisation": of,
        "user": responsible,
        "scopes": list(all_scopes()),
    }
    return Application.objects.create(**{**defaults, **fields})


def token(
    user: User | None,
    of: Organisation,
    *,
    scopes: str | None = None,
    client: Application | None = None,
    lifetime: timedelta | None = None,
    **fields: Any,
) -> str:
    """An access token of ``user``'s for ``of``, after a sign-in just now; with every scope by default."""
    value = secrets.token_urlsafe(32)
    seconds = settings.OAUTH2_PROVIDER["ACCESS_TOKEN_EXPIRE_SECONDS"]
    AccessToken.objects.create(
        user=user,
        application=client or public_client(),
        organisation=of,
        token_checksum=digest(value),
        scope=" ".join(all_scopes()) if scopes is None else scopes,
        expires=timezone.now() + (lifetime or timedelta(seconds=seconds)),
        **{"auth_time": timezone.now(), "acr": "aal1", "amr": ["pwd"], **fields},
    )
    return value
