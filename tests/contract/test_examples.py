"""Every operation has a good request, and it succeeds: what follows is refused for its own reason."""

import pytest

from tests.contract.walk import example, examples, operations, perform


@pytest.mark.asvs("4.1.1", "14.3.2")
@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.name)
def test_the_good_request_succeeds(operation, us):
    response = perform(operation, us, example(operation, us))

    assert response.status_code == operation.rule.status, response.content
    if operation.rule.status == 204:
        assert "Content-Type" not in response
        assert response.content == b""
    else:
        assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "no-store"
    assert response["RateLimit"]
    assert response["RateLimit-Policy"]


def test_there_is_no_example_without_an_operation():
    assert examples().keys() == {operation.name for operation in operations()}
