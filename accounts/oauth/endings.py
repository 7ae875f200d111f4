"""Endings: when a person may no longer act, everything that acts for them ends at once.

Threat: a password is changed because it leaked, or an account is closed, and the thief's session and tokens
live on. Guarantee: a changed password or a closed account ends every access token, refresh token, code and
session of the person's, in the same transaction. A trigger on the table of users ends the tokens, so that
it does not matter what changed the row: a form, a queryset, or SQL. Sessions end with the row as well (they
are bound to the password's hash, and an inactive person has none) and are deleted besides, so that none
comes back with the account.

``end_everything`` does the same on demand. ASVS 7.4.1, 7.4.2, 7.4.3, 10.4.9.
"""

from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models.signals import post_save, pre_save
from django.dispatch import receiver
from django.utils import timezone

from accounts.models import User

#: What ends a person's tokens. The trigger calls it too (migration 0003).
FUNCTION = "oauth_end_tokens"
FIELDS = frozenset({"password", "is_active"})


def end_everything(user: User) -> None:
    """Every token, code and session of ``user``. In a transaction, with whatever is the reason."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {FUNCTION}(%s)", [user.pk])
    end_sessions(user)


def end_sessions(user: User) -> None:
    """Every session that ``user`` is signed in with."""
    mine = str(user.pk)
    ended = [
        session.session_key
        for session in Session.objects.filter(expire_date__gt=timezone.now()).iterator()
        if session.get_decoded().get(SESSION_KEY) == mine
    ]
    Session.objects.filter(session_key__in=ended).delete()


@receiver(pre_save, sender=User)
def notice_change(instance: User, update_fields: Any, **kwargs: Any) -> None:
    """Keep what the row was, if this save may change what counts."""
    instance._before = None  # type: ignore[attr-defined]  # for act_on_change
    if instance.pk is not None and (update_fields is None or FIELDS & set(update_fields)):
        instance._before = User.objects.filter(pk=instance.pk).values(*FIELDS).first()  # type: ignore[attr-defined]  # as above


@receiver(post_save, sender=User)
def act_on_change(instance: User, **kwargs: Any) -> None:
    """The trigger has ended the tokens; the sessions remain."""
    before = instance._before  # type: ignore[attr-defined]  # set by notice_change
    if before is None:
        return
    closed = before["is_active"] and not instance.is_active
    if closed or before["password"] != instance.password:
        end_sessions(instance)
