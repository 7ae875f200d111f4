"""What a person holds for an organisation ends with the membership.

Threat: somebody is removed and, weeks later, invited again; a token of the first time, kept or stolen, lives
again with the new membership, because authentication asks only whether there is one. Guarantee: with the
membership go its codes, access tokens and refresh tokens, in the same transaction, and the tokens of the
service clients for which the person answers. With a new password, or when the account is closed, all that the
person holds anywhere ends: by a trigger on the table of people (this app's migration 0003), so that it does
not matter what changed the row. A token request locks the person and the membership before the code or token
that it redeems, so none is issued in between. With a role that needs a second factor, what was obtained with
a password alone ends; and wherever the role came from, no token is issued for it (accounts.oauth.validators).

RFC 9700 section 4.14. ASVS 6.3.3, 7.4.5, 8.3.2.
"""

from typing import Any

from django.db import connection
from django.db.models import Q
from django.dispatch import receiver
from django.utils import timezone

from accounts.oauth.authentication_context import STRONG
from accounts.oauth.models import AccessToken, Grant, RefreshToken
from accounts.signals import access_ended, membership_removed, weak_access_ended


@receiver(membership_removed)
def end_tokens(user: Any, organisation_id: int, **kwargs: Any) -> None:
    """Refresh tokens are kept as revoked, so that a replay is still recognised; the rest is deleted."""
    now = timezone.now()
    RefreshToken.objects.filter(user=user, organisation_id=organisation_id, revoked=None).update(
        revoked=now, updated=now, access_token=None
    )
    AccessToken.objects.filter(
        Q(user=user) | Q(user=None, application__user=user), organisation_id=organisation_id
    ).delete()
    Grant.objects.filter(user=user, organisation_id=organisation_id).delete()


@receiver(access_ended)
def end_tokens_everywhere(user: Any, **kwargs: Any) -> None:
    """What the trigger does with a new password, for a changed factor and an operator's command."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT oauth_end_tokens(%s)", [user.pk])


@receiver(weak_access_ended)
def end_weak_tokens(user: Any, **kwargs: Any) -> None:
    """A role that needs a second factor was given: what came from a session without one ends."""
    now = timezone.now()
    weak = ~Q(acr__in=STRONG)
    RefreshToken.objects.filter(weak, user=user, revoked=None).update(
        revoked=now, updated=now, access_token=None
    )
    AccessToken.objects.filter(weak, user=user).delete()
    Grant.objects.filter(weak, user=user).delete()
