"""manage.py demo_token against the running service."""

import pytest


def test_it_prints_a_token_that_works(live):
    token = live.token("auditor@acme.example", "account:read audit:read")

    status, _, body = live.get("/v1/me", token)

    assert status == 200
    assert b'"role":"auditor"' in body
    assert live.get("/v1/audit-events", token)[0] == 200


def test_it_asks_for_the_scope_it_is_given(live):
    token = live.token("auditor@acme.example", "account:read")

    assert live.get("/v1/audit-events", token)[0] == 403


@pytest.mark.parametrize("scope", ["root:all", ""])
def test_a_refusal_is_told(live, scope):
    with pytest.raises(AssertionError, match="refused"):
        live.token("auditor@acme.example", scope)
