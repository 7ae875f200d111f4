"""Members: who belongs to the organisation in which role, managed by its administrators.

Threat: somebody who makes themselves an administrator, an organisation that is left without one, and a
change that a token from before does not feel. Guarantee: nobody changes their own role; a contact and a
member do not turn into each other; an active administrator always remains, whatever is asked here at the
same moment: each change locks the rows of all administrators, in one order, and judges what it finds then,
the caller's own row included. Authentication reads the membership on every request, so the next one feels
the change. What a removed person held ends in the same transaction (``membership_removed``).

OWASP API5:2023. ASVS 8.2.1, 8.3.1, 8.3.2.
"""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import ContactBoundary, LastAdministrator, OwnMembership
from accounts.models import ADMINISTRATOR, Membership
from accounts.serializers import MemberReader, MemberWriter
from security.audit import record_change
from security.errors import RoleNotPermitted
from security.object_permissions import TenantObjects
from security.pagination import PageQuery
from security.policy import Allow, PolicyViewSet, Rule
from security.scopes import CONTACT_ROLE, Access

MANAGE = Allow("members:manage", frozenset({ADMINISTRATOR}))


class MemberViewSet(PolicyViewSet):
    """Members and contacts of the organisation."""

    queryset = Membership.objects.select_related("user")
    rules = {
        "list": Rule(
            allow=(MANAGE,),
            objects=TenantObjects(),
            throttle="read",
            query=PageQuery,
            response=MemberReader,
        ),
        "retrieve": Rule(
            allow=(MANAGE,),
            objects=TenantObjects(),
            throttle="read",
            response=MemberReader,
        ),
        "partial_update": Rule(
            allow=(MANAGE,),
            objects=TenantObjects(),
            throttle="write",
            request=MemberWriter,
            response=MemberReader,
        ),
        "destroy": Rule(
            allow=(MANAGE,),
            objects=TenantObjects(),
            throttle="write",
            response=None,
            status=204,
        ),
    }

    def partial_update(self, request: Request, **kwargs: Any) -> Response:
        lock_administrators(self.access)
        membership: Membership = self.get_object(lock=True)
        role = self.read_body(membership).get("role", membership.role)
        if role != membership.role:
            check_not_own(self.access, membership)
            if CONTACT_ROLE in {role, membership.role}:
                raise ContactBoundary
            before, membership.role = membership.role, role
            membership.save(update_fields=["role"])
            record_change(
                request,
                "members:member:role-changed",
                membership,
                user=str(membership.user.public_id),
                role={"from": before, "to": role},
            )
        return self.respond(membership)

    def destroy(self, request: Request, **kwargs: Any) -> Response:
        administrators = lock_administrators(self.access)
        membership: Membership = self.get_object(lock=True)
        self.read_body()
        # Only oneself can be the last: the caller is one. So a change of role, never one's own, leaves one.
        if administrators == {membership.user_id}:
            raise LastAdministrator
        membership.delete()
        record_change(
            request,
            "members:member:removed",
            membership,
            user=str(membership.user.public_id),
            role={"from": membership.role},
        )
        return self.respond(membership)


def lock_administrators(access: Access) -> set[int]:
    """The user ids of the organisation's active administrators, whose rows stay locked.

    Raises RoleNotPermitted when the caller stopped being one since this request was authenticated.
    """
    rows = (
        Membership.objects.select_for_update(of=("self",))
        .filter(organisation_id=access.organisation_id, role=ADMINISTRATOR, user__is_active=True)
        .order_by("pk")
    )
    administrators = {row.user_id for row in rows}
    if access.user_id not in administrators:
        raise RoleNotPermitted
    return administrators


def check_not_own(access: Access, membership: Membership) -> None:
    """Raises OwnMembership when the row is the caller's own."""
    if membership.user_id == access.user_id:
        raise OwnMembership
