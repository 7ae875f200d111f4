"""Rows for tests. Alice's organisation is Acme; Globex is somebody else's."""

import secrets
from datetime import timedelta
from itertools import count
from typing import Any

from django.conf import settings
from django.utils import timezone

from accounts import second_factor
from accounts.models import Membership, Organisation, Session, User
from accounts.oauth.models import AccessToken, Application, RefreshToken
from accounts.oauth.validators import digest
from security.identifiers import uuid7
from security.scopes import all_scopes

PASSWORD = "correct horse battery staple"
TOTP_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
CALLBACK = "https://client.example/callback"

number = count(1)


def address() -> str:
    """A peer's address that no other test has used: of a network of its own, since IPv6 is limited by /64."""
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"


def organisation(name: str = "", currency: str = "EUR") -> Organisation:
    return Organisation.objects.create(name=name or f"Organisation {next(number)}", currency=currency)


def member(role: str, of: Organisation, **fields: Any) -> User:
    """A user with ``role`` in ``of``."""
    user = User.objects.create_user(
        f"{role}{next(number)}@{secrets.token_hex(4)}.example", PASSWORD, name="Alice", **fields
    )
    Membership.objects.create(user=user, organisation=of, role=role)
    return user


def enrol(user: User) -> User:
    """``user``, with an authenticator app that has TOTP_SECRET."""
    second_factor.add_totp(user, TOTP_SECRET, used=False)
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
        **{"auth_time": timezone.now(), "acr": "aal2", "amr": ["pwd", "otp", "mfa"], **fields},
    )
    return value


def session(user: User, **fields: Any) -> Session:
    """A row of a session of ``user``'s; nobody has its key."""
    defaults = {
        "session_key": secrets.token_hex(32),
        "session_data": "",
        "expire_date": timezone.now() + timedelta(hours=1),
        "address": "192.0.2.1",
        "user_agent": "A browser",
    }
    return Session.objects.create(user=user, **{**defaults, **fields})


def grant(user: User, of: Organisation, *, client: Application | None = None) -> RefreshToken:
    """What ``user`` has allowed: a refresh token with its access token. Its public id is its family's."""
    application = client or public_client()
    access_token = AccessToken.objects.get(
        token_checksum=digest(token(user, of, client=application, scopes="account:read"))
    )
    refresh_token = RefreshToken.objects.create(
        user=user,
        application=application,
        organisation=of,
        access_token=access_token,
        token_checksum=digest(secrets.token_urlsafe(32)),
        token_family=uuid7(),
        family_expires_at=timezone.now() + settings.REFRESH_FAMILY_LIFETIME,
    )
    refresh_token.public_id = refresh_token.token_family
    return refresh_token
