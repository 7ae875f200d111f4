"""What the API says of the caller, the members and the invited, and what it takes."""

from datetime import datetime
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import Invitation, Membership, Session
from accounts.oauth.grants import scopes_of
from security.identifiers import PublicIdField
from security.scopes import all_roles
from security.serializers import ReadSerializer
from security.strict_input import StrictChoiceField, StrictEmailField, StrictSerializer

MAX_ROLE = 32
MAX_CLIENT = 100
SCOPES = {
    "type": "array",
    "maxItems": 100,
    "items": {"type": "string", "maxLength": 64, "pattern": "^[a-z.:_-]+$", "examples": ["account:read"]},
}


class MeReader(StrictSerializer):
    """The caller as the token's organisation sees them."""

    # Reads a security.scopes.Access.
    user = serializers.UUIDField(source="user_public_id", read_only=True)
    organisation = serializers.UUIDField(source="organisation_public_id", read_only=True)
    client = serializers.CharField(source="client_id", read_only=True, max_length=MAX_CLIENT)
    role = serializers.CharField(read_only=True, max_length=MAX_ROLE)
    scopes = serializers.SerializerMethodField()

    @extend_schema_field(SCOPES)
    def get_scopes(self, access: Any) -> list[str]:
        return sorted(access.scopes)


class SessionReader(ReadSerializer[Session]):
    """A session of the caller's. What opens it is not in the database, so it cannot be here."""

    id = PublicIdField()

    class Meta:
        model = Session
        fields = ("id", "created_at", "last_seen_at", "address", "user_agent", "second_factor")


class GrantReader(StrictSerializer):
    """A consent of the caller's that still gives tokens."""

    # Reads its newest refresh token.
    id = serializers.UUIDField(source="token_family", read_only=True)
    client = serializers.CharField(source="application.client_id", read_only=True, max_length=MAX_CLIENT)
    client_name = serializers.CharField(source="application.name", read_only=True, max_length=255)
    organisation = serializers.UUIDField(source="organisation.public_id", read_only=True)
    organisation_name = serializers.CharField(source="organisation.name", read_only=True, max_length=150)
    scopes = serializers.SerializerMethodField()
    since = serializers.SerializerMethodField()
    last_used_at = serializers.DateTimeField(source="created", read_only=True)

    @extend_schema_field(SCOPES)
    def get_scopes(self, token: Any) -> list[str]:
        return scopes_of(token)

    def get_since(self, token: Any) -> datetime:
        """When it was given: a family ends a fixed time after it."""
        given: datetime = token.family_expires_at - settings.REFRESH_FAMILY_LIFETIME
        return given


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
