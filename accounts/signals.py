"""What other apps may want to know of an account."""

from django.dispatch import Signal

#: Everything that was issued to ``user`` has to end now: a new password, a deactivation, a lost factor.
access_ended = Signal()
