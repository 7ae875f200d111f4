"""Good requests for the contract tests."""

from tests.contract.walk import Call

EXAMPLES = {"GET /v1/audit-events": lambda team: Call("auditor")}
