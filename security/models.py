"""The audit trail's table. Append-only by trigger and by right (security.audit)."""

import pgtrigger
from django.db import models
from django.utils import timezone

from security.identifiers import PublicIdModel
from security.row_security import TenantModel


class AuditEvent(PublicIdModel, TenantModel):
    """One thing that happened, or ``count`` repeats of it within a window.

    ``organisation_id`` is opaque here: null for what concerns no organisation (an unknown caller).
    ``detail`` names fields and codes, never their values.
    """

    occurred_at = models.DateTimeField(default=timezone.now, editable=False)
    event = models.CharField(max_length=64)
    organisation_id = models.BigIntegerField(null=True, editable=False)  # type: ignore[assignment]  # may be none
    actor = models.UUIDField(null=True, editable=False)
    client_id = models.CharField(max_length=255, blank=True, default="", editable=False)
    address = models.GenericIPAddressField(null=True, editable=False)
    request_id = models.UUIDField(null=True, editable=False)
    target_type = models.CharField(max_length=64, blank=True, default="", editable=False)
    target_id = models.UUIDField(null=True, editable=False)
    detail = models.JSONField(default=dict, editable=False)
    count = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        indexes = [models.Index(fields=["organisation_id", "-public_id"], name="audit_by_organisation")]
        triggers = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete),
            pgtrigger.Trigger(
                name="no_truncate",
                level=pgtrigger.Statement,
                when=pgtrigger.Before,
                operation=pgtrigger.Truncate,
                func="RAISE EXCEPTION 'the audit trail is append-only';",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.public_id}"
