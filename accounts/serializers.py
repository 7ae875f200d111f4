"""What the API says of the caller."""

from typing import Any

from rest_framework import serializers

from security.strict_input import StrictSerializer


class AccountReader(StrictSerializer):
    """The caller as the token's organisation sees them. Reads a security.policy.Access."""

    user = serializers.UUIDField(source="user_public_id", read_only=True)
    organisation = serializers.UUIDField(source="organisation_public_id", read_only=True)
    client = serializers.CharField(source="client_id", read_only=True)
    role = serializers.CharField(read_only=True)
    scopes = serializers.SerializerMethodField()

    def get_scopes(self, access: Any) -> list[str]:
        return sorted(access.scopes)
