"""Authentication context: how and when the person behind a session authenticated, in the terms of OAuth.

The session is where sign-in writes it: ``auth_time`` (ISO 8601) and ``amr``, the methods of RFC 8176. From
there it goes to the authorization code, the tokens and every refreshed token, unchanged. ``acr`` sums the
methods up; each value includes those before it:

``aal1``: something, a password. ``aal2``: two factors. ``phr``: phishing-resistant, a passkey (OpenID EAP
ACR).

RFC 9470 section 4, OpenID Connect Core section 2. ASVS 10.4.12.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

LEVELS = ("aal1", "aal2", "phr")
#: Those with a second factor.
STRONG = ("aal2", "phr")
PASSKEY = frozenset({"hwk", "swk", "pop"})
SECOND_FACTOR = frozenset({"otp", "mfa"})


@dataclass(frozen=True, slots=True)
class AuthenticationContext:
    auth_time: datetime | None
    amr: tuple[str, ...]

    @classmethod
    def of(cls, session: Mapping[str, Any]) -> "AuthenticationContext":
        methods = session.get("amr") or ["pwd"]
        return cls(parse_datetime(session.get("auth_time", "")), tuple(str(method) for method in methods))

    @property
    def acr(self) -> str:
        return acr(self.amr)

    def satisfies(self, acr_values: Iterable[str]) -> bool:
        """Whether this is at least as strong as one of ``acr_values``; no unknown value is satisfied."""
        level = LEVELS.index(self.acr)
        return any(value in LEVELS and LEVELS.index(value) <= level for value in acr_values)


def acr(amr: Iterable[str]) -> str:
    """One of LEVELS, from the methods used."""
    methods = frozenset(amr)
    if methods & PASSKEY:
        return "phr"
    return "aal2" if methods & SECOND_FACTOR else "aal1"
