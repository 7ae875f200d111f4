"""Introspection: what a token is, told to those whom it concerns.

Threat: any client that holds a stranger's token learns who its owner is and what it opens; tokens found out
by asking. Guarantee: POST, by a client that authenticates with a credential. It learns of tokens that were
issued to it, and of access tokens for a resource that it is (``serves_audiences``); of everything else, and
of what the API would refuse, it learns the same: ``{"active": false}``.

RFC 7662, RFC 9449 section 6.2, RFC 9470 section 6.2. ASVS 10.3.1, 10.4.9.
"""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils import timezone
from oauthlib.oauth2 import InvalidClientError

from accounts.models import Membership
from accounts.oauth.authentication_context import STRONG
from accounts.oauth.endpoints import Endpoint, oauth_error
from accounts.oauth.models import AccessToken, Application, RefreshToken
from accounts.oauth.validators import digest
from accounts.second_factor import roles_requiring_mfa
from security.scopes import CONTACT_ROLE


class IntrospectTokenView(Endpoint):
    """RFC 7662 section 2."""

    def answer(self, request: HttpRequest) -> HttpResponseBase:
        client = self.client(request)
        if client.client_type != Application.CLIENT_CONFIDENTIAL:
            raise InvalidClientError
        text = request.POST.get("token", "")
        if not text:
            return oauth_error("invalid_request")
        return JsonResponse(_access_token(text, client) or _refresh_token(text, client) or {"active": False})


def _access_token(text: str, caller: Application) -> dict[str, Any] | None:
    token = (
        AccessToken.objects.select_related("application", "user", "organisation")
        .filter(token_checksum=digest(text), expires__gt=timezone.now())
        .first()
    )
    if token is None or not _concerns(token, caller) or not _is_alive(token):
        return None
    subject = token.user.public_id if token.user else token.application.client_id
    told: dict[str, Any] = {
        **_common(token),
        "token_type": "DPoP" if token.cnf_jkt else "Bearer",
        "scope": token.scope,
        "sub": str(subject),
        "aud": token.resource,
        "exp": int(token.expires.timestamp()),
    }
    if token.cnf_jkt:
        told["cnf"] = {"jkt": token.cnf_jkt}
    if token.auth_time is not None:
        told |= {"acr": token.acr, "auth_time": int(token.auth_time.timestamp())}
    return told


def _refresh_token(text: str, caller: Application) -> dict[str, Any] | None:
    now, idle = timezone.now(), timedelta(seconds=settings.OAUTH2_PROVIDER["REFRESH_TOKEN_EXPIRE_SECONDS"])
    token = (
        RefreshToken.objects.select_related("application", "organisation", "access_token")
        .filter(token_checksum=digest(text), application=caller, revoked=None)
        .filter(family_expires_at__gt=now, access_token__expires__gt=now - idle)
        .first()
    )
    if token is None or not _is_alive(token):
        return None
    ends = min(token.family_expires_at, token.access_token.expires + idle)
    return {**_common(token), "exp": int(ends.timestamp())}


def _common(token: Any) -> dict[str, Any]:
    return {
        "active": True,
        "iss": settings.PUBLIC_URL,
        "client_id": token.application.client_id,
        "organisation": str(token.organisation.public_id),
        "iat": int(token.created.timestamp()),
    }


def _concerns(token: AccessToken, caller: Application) -> bool:
    return token.application_id == caller.pk or bool(set(token.resource) & set(caller.serves_audiences))


def _is_alive(token: Any) -> bool:
    """The API's own question: an active person, or the service client's, who is a member and no contact.

    In a role that needs a second factor, after a sign-in with one.
    """
    person = token.user_id or token.application.user_id
    memberships = Membership.objects.filter(
        user_id=person, user__is_active=True, organisation_id=token.organisation_id
    )
    if token.user_id is None:
        memberships = memberships.exclude(role=CONTACT_ROLE)
    elif token.acr not in STRONG:
        memberships = memberships.exclude(role__in=roles_requiring_mfa())
    return memberships.exists()
