"""Two organisations: ours, and one that must see nothing."""

import pytest

from tests.contract.walk import Team


@pytest.fixture
def us(db):
    return Team()


@pytest.fixture
def them(db):
    return Team()
