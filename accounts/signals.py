"""What other apps may want to know about people and members."""

from django.dispatch import Signal

#: Everything that was issued to ``user`` has to end now: a changed factor, an operator's act.
access_ended = Signal()

#: What was issued to ``user`` without a second factor has to end now: a role that needs one was given.
weak_access_ended = Signal()

#: A person left an organisation, by whatever way the row went. Sent in the same transaction, once for each
#: membership, with ``user`` (a User) and ``organisation_id``: a receiver that raises undoes the removal.
membership_removed = Signal()
