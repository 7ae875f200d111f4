"""Good requests for the contract tests."""

from tests.contract.walk import Call

EXAMPLES = {"GET /v1/account": lambda team: Call("org_admin")}
