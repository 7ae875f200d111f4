"""Step-up: some operations need the person to have authenticated lately, or strongly.

Threat: a session or token that lives on while its owner is away, in the hands of whoever sits there or
stole it, and moves money. Guarantee: an action whose rule has a ``StepUp`` is done only with a token whose
``auth_time`` is at most ``max_age`` old and whose ``acr`` is one of those listed; otherwise 401 with
``insufficient_user_authentication`` and what is asked for, which the client takes to the authorization
endpoint. ``auth_time`` is of the session behind the token: refreshing does not move it. A token behind
which nobody authenticated (client credentials) never satisfies one.

OWASP API2:2023, API6:2023. ASVS 6.5.4, 7.5.3, 8.3.3. RFC 9470.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from django.utils import timezone

from security.errors import InsufficientAuthentication
from security.scopes import Access


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUp:
    """``max_age`` of the authentication; ``acr``: the values that are strong enough, any if there is none."""

    max_age: timedelta
    acr: tuple[str, ...] = ()

    clock: ClassVar[Callable[[], datetime]] = timezone.now

    @property
    def parameters(self) -> dict[str, str]:
        """What a client has to ask the authorization endpoint for."""
        asked = {"max_age": str(int(self.max_age.total_seconds()))}
        return {**asked, "acr_values": " ".join(self.acr)} if self.acr else asked

    def check(self, access: Access) -> None:
        """Raises InsufficientAuthentication (401)."""
        recent = access.auth_time is not None and type(self).clock() - access.auth_time <= self.max_age
        if not recent or (self.acr and access.acr not in self.acr):
            raise InsufficientAuthentication(self.parameters)
