"""Scopes and roles: what exists, as contributed by each installed app.

Threat: a scope or role that nobody declared, granted by a typing error or by a client that asks for more.
Guarantee: the set is closed; whatever is not contributed by an AppConfig does not exist, and a rule that
names it ends start-up (security.policy). Which of them a client may ask for is its own allow-list, and
which a user holds is read from the database on every request, never from the token.

Each app contributes with two attributes of its AppConfig::

    scopes = {"invoices:read": "Read invoices"}
    roles = {"clerk": "Enters vendors and invoices"}

OWASP API5:2023. ASVS 8.2.1, 10.3.2. RFC 6749 section 3.3.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.apps import apps
from rest_framework.permissions import BasePermission

from security.throttling import Once

#: The role of a token issued to a client acting for itself (client credentials grant).
SERVICE_ROLE = "service"
#: The role of an outsider, to whom single objects are shared (security.object_permissions).
CONTACT_ROLE = "contact"


def all_scopes() -> dict[str, str]:
    """Every scope that exists → its description in words, in order of name."""
    found: dict[str, str] = {}
    for app in apps.get_app_configs():
        found.update(getattr(app, "scopes", {}))
    return dict(sorted(found.items()))


def all_roles() -> dict[str, str]:
    """Every role that a membership may carry → its description, in order of name."""
    found: dict[str, str] = {}
    for app in apps.get_app_configs():
        found.update(getattr(app, "roles", {}))
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Access:
    """What a request may act with: ``request.auth``. Built by the authentication class, per request.

    ``user_id`` is the person; for a service client it is the person responsible for it.
    """

    user_id: int
    user_public_id: UUID
    application_id: int
    client_id: str
    organisation_id: int
    organisation_public_id: UUID
    currency: str
    role: str
    scopes: frozenset[str]
    #: The groups of a contact, through which objects may be shared with them (security.object_permissions).
    groups: tuple[int, ...] = ()
    #: How and when the person authenticated (security.step_up); nobody did behind a service client's token.
    acr: str = ""
    auth_time: datetime | None = None
    #: What this request may use only once: the proof of a sender-constrained token.
    once: tuple[Once, ...] = ()

    @property
    def throttle_key(self) -> str:
        """One bucket per person, client and organisation, so that a new token is not a new allowance."""
        return f"principal:{self.user_id}:{self.application_id}:{self.organisation_id}"


class DenyAll(BasePermission):
    """The default of every view that is not a ``PolicyViewSet``: nobody."""

    def has_permission(self, request: Any, view: Any) -> bool:
        return False
