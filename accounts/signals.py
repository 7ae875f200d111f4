"""What other apps may want to know about members."""

from django.dispatch import Signal

#: A person left an organisation, by whatever way the row went. Sent in the same transaction, once for each
#: membership, with ``user`` (a User) and ``organisation_id``: a receiver that raises undoes the removal.
membership_removed = Signal()
