"""Good requests for the contract tests."""

from security.models import AuditEvent
from tests.contract.walk import Call, Team


def events(team: Team) -> Call:
    for number in range(4):
        AuditEvent.objects.create(event=f"test:event:{number}", organisation_id=team.organisation.pk)
    return Call("auditor")


EXAMPLES = {"GET /v1/audit-events": events}
