"""The tables of the controls: the audit trail, append-only by trigger and by right, and uses of quotas."""

import pgtrigger
from django.db import models
from django.utils import timezone

from security.identifiers import PublicIdModel
from security.row_security import TenantModel


class AuditEvent(PublicIdModel, TenantModel):
    """One thing that happened, or ``count`` repeats of it within a window.

    ``organisation_id`` is opaque here: null for what concerns no organisation (an unknown caller).
    ``detail`` names fields and codes, never their values; and the reason that a person gave, in their words.
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


class StoredAnswer(TenantModel):
    """The answer to a request with an Idempotency-Key, kept for its repetition (security.idempotency).

    ``digest`` is of the key and whose it is, ``fingerprint`` the keyed digest of the request.
    """

    digest = models.CharField(max_length=64, primary_key=True, editable=False)
    fingerprint = models.CharField(max_length=32, editable=False)
    status = models.PositiveSmallIntegerField(editable=False)
    etag = models.CharField(max_length=64, blank=True, default="", editable=False)
    body = models.TextField(editable=False)
    expires_at = models.DateTimeField(editable=False)

    class Meta:
        indexes = [models.Index(fields=["organisation_id", "expires_at"], name="answers_to_sweep")]

    def __str__(self) -> str:
        return self.digest


class QuotaUse(models.Model):
    """One use of what is limited to so many in a time (security.quotas); ``holder`` is a person."""

    name = models.CharField(max_length=64, editable=False)
    holder = models.UUIDField(editable=False)
    at = models.DateTimeField(editable=False)

    class Meta:
        indexes = [models.Index(fields=["name", "holder", "at"], name="quota_of_holder")]

    def __str__(self) -> str:
        return f"{self.name} {self.at}"
