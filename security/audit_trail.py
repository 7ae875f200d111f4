"""Audit trail: ``/v1/audit-events``, read only, for the auditors of one organisation.

Threat: a trail that nobody but its administrators can read, or that shows one tenant what another did.
Guarantee: an auditor reads the events of the organisation that the token acts for, newest first, and no
others; events that belong to no organisation (unknown callers) are for operators. Nobody writes here: what
writes is security.audit.

OWASP API9:2023. ASVS 16.2.1, 16.4.2, 8.2.2.
"""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from security.identifiers import PublicIdField
from security.models import AuditEvent
from security.object_permissions import TenantObjects
from security.pagination import PageQuery
from security.policy import Allow, PolicyViewSet, Rule
from security.serializers import ReadSerializer
from security.strict_input import StrictCharField

WORD = {"type": "string", "maxLength": 1024, "pattern": r"^[^\u0000]*$"}


@extend_schema_field(
    {
        "type": "object",
        "description": "Names of fields, codes and states; never values.",
        "maxProperties": 32,
        "additionalProperties": {
            "oneOf": [
                WORD,
                {"type": "boolean"},
                {"type": "integer", "format": "int32", "minimum": 0, "maximum": 2**31 - 1},
                {"type": "array", "maxItems": 100, "items": WORD},
                {"type": "object", "maxProperties": 8, "additionalProperties": WORD},
            ]
        },
        "examples": [{"status": {"from": "draft", "to": "submitted"}}],
    }
)
class DetailField(serializers.JSONField):
    """What an event says beside its columns."""


class AuditEventReader(ReadSerializer[AuditEvent]):
    id = PublicIdField()
    detail = DetailField(read_only=True)

    class Meta:
        model = AuditEvent
        fields = (
            "id",
            "occurred_at",
            "event",
            "actor",
            "client_id",
            "address",
            "request_id",
            "target_type",
            "target_id",
            "detail",
            "count",
        )


class AuditEventQuery(PageQuery):
    event = StrictCharField(required=False, max_length=64, help_text="Only this tag.")


class AuditEventViewSet(PolicyViewSet):
    """What happened in the organisation. Read only, for auditors."""

    queryset = AuditEvent.objects.all()
    rules = {
        "list": Rule(
            allow=(Allow("audit:read", frozenset({"auditor"})),),
            objects=TenantObjects(),
            throttle="read",
            query=AuditEventQuery,
            response=AuditEventReader,
        ),
    }

    def filter_queryset(self, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        event = self.query.get("event")
        return queryset.filter(event=event) if event else queryset
