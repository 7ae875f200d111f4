"""What the API says of the caller, the members and the invited, and what it takes."""

from typing import Any

from rest_framework import serializers

from accounts.models import Invitation, Membership
from security.identifiers import PublicIdField
from security.scopes import all_roles
from security.serializers import ReadSerializer
from security.strict_input import StrictChoiceField, StrictEmailField, StrictSerializer


class AccountReader(StrictSerializer):
    """The caller as the token's organisation sees them. Reads a security.policy.Access."""

    user = serializers.UUIDField(source="user_public_id", read_only=True)
    organisation = serializers.UUIDField(source="organisation_public_id", read_only=True)
    client = serializers.CharField(source="client_id", read_only=True)
    role = serializers.CharField(read_only=True)
    scopes = serializers.SerializerMethodField()

    def get_scopes(self, access: Any) -> list[str]:
        return sorted(access.scopes)


class MemberReader(ReadSerializer[Membership]):
    id = PublicIdField()
    user = PublicIdField(source="user.public_id")
    name = serializers.CharField(source="user.name", read_only=True, max_length=150)
    email = serializers.EmailField(source="user.email", read_only=True, max_length=254)

    class Meta:
        model = Membership
        fields = ("id", "user", "name", "email", "role", "joined_at")


class MemberWriter(StrictSerializer):
    role = StrictChoiceField(choices=sorted(all_roles()))


class InvitationReader(ReadSerializer[Invitation]):
    """Without the token: the mail alone has it."""

    id = PublicIdField()
    invited_by = PublicIdField(source="invited_by.public_id")

    class Meta:
        model = Invitation
        fields = ("id", "email", "role", "invited_by", "created_at", "expires_at")


class InvitationWriter(StrictSerializer):
    email = StrictEmailField(max_length=254)
    role = StrictChoiceField(choices=sorted(all_roles()))

    def validate_email(self, value: str) -> str:
        """In lower case. ASCII: beyond it Python and PostgreSQL differ about case, and letters look alike."""
        if not value.isascii():
            raise serializers.ValidationError("It is not an ASCII address.", code="format")
        return value.lower()
