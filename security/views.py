"""The API's own views: the audit trail, and whether the service is up."""

from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest, JsonResponse

from security.identifiers import PublicIdField
from security.models import AuditEvent
from security.pagination import PageQuery
from security.policy import Allow, PolicyViewSet, Rule, TenantObjects
from security.serializers import ReadSerializer
from security.strict_input import StrictCharField


class AuditEventReader(ReadSerializer[AuditEvent]):
    id = PublicIdField()

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


def live(request: HttpRequest) -> JsonResponse:
    """The process answers. No dependency is asked."""
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """The database answers as well; an outage is AvailabilityMiddleware's 503."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})
