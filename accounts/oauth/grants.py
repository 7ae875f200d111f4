"""What a person has allowed, and how they take it back: all of it, or scope by scope.

Threat: an application that was allowed more than it needs, by somebody who can only take back everything, and
so takes back nothing. Guarantee: a grant is its refresh-token family; what is taken off it is gone from the
access token that is out there and from every one that follows. Nobody adds to a grant: that is asked for.

RFC 9700 section 4.14. ASVS 10.4.9, 10.7.3.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import F, QuerySet
from django.utils import timezone

from accounts.oauth.models import AccessToken, Grant, RefreshToken


def alive(grants: QuerySet[RefreshToken]) -> QuerySet[RefreshToken]:
    """Those that still give tokens."""
    now = timezone.now()
    lifetime = timedelta(seconds=settings.OAUTH2_PROVIDER["REFRESH_TOKEN_EXPIRE_SECONDS"])
    return grants.filter(revoked=None, family_expires_at__gt=now, created__gt=now - lifetime)


def grants_of(user: Any) -> QuerySet[RefreshToken]:
    """``public_id`` is the family's."""
    return (
        alive(RefreshToken.objects.filter(user=user))
        .select_related("application", "organisation", "access_token")
        .annotate(public_id=F("token_family"))
        .order_by("-token_family")
    )


def scopes_of(grant: RefreshToken) -> list[str]:
    return sorted(grant.access_token.scope.split()) if grant.access_token else []


def narrow(grant: RefreshToken, scopes: Iterable[str]) -> list[str]:
    """Keep ``scopes`` of what it has; what is kept. ``grant`` is locked by the caller: a refresh waits."""
    kept = [scope for scope in scopes_of(grant) if scope in set(scopes)]
    if grant.access_token is not None:
        AccessToken.objects.filter(pk=grant.access_token.pk).update(scope=" ".join(kept))
    return kept


def end(grant: RefreshToken) -> None:
    """Every code and token that the client has of the person, in all organisations.

    Refresh tokens are kept as revoked, so that a replay is still recognised.
    """
    of_the_client = {"user_id": grant.user_id, "application_id": grant.application_id}
    now = timezone.now()
    RefreshToken.objects.filter(**of_the_client, revoked=None).update(revoked=now, updated=now)
    AccessToken.objects.filter(**of_the_client).delete()
    Grant.objects.filter(**of_the_client).delete()
