"""Good requests for the contract tests."""

from tests import factories
from tests.contract.walk import Call

EXAMPLES = {
    "GET /v1/me": lambda team: Call("org_admin"),
    "GET /v1/me/sessions": lambda team: Call("auditor"),
    "DELETE /v1/me/sessions/{id}": lambda team: Call("auditor", factories.session(team.user("auditor"))),
    "GET /v1/me/grants": lambda team: Call("auditor"),
    "DELETE /v1/me/grants/{id}": lambda team: Call(
        "auditor", factories.grant(team.user("auditor"), team.organisation)
    ),
}
