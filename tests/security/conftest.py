"""Alice is a member of Acme; her token carries every scope."""

import pytest

from tests import factories
from tests.clients import Api


@pytest.fixture
def acme(db):
    return factories.organisation("Acme Test")


@pytest.fixture
def auditor(acme):
    return factories.member("auditor", acme)


@pytest.fixture
def api(acme, auditor):
    """The auditor of Acme."""
    return Api(factories.token(auditor, acme))
