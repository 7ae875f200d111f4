"""security.preconditions: the header. What it guards is in tests/resources/test_preconditions.py."""

from types import SimpleNamespace

import pytest

from security import preconditions
from security.preconditions import InvalidPrecondition, PreconditionFailed, PreconditionRequired


def request(if_match=None, method="POST"):
    return SimpleNamespace(method=method, META={} if if_match is None else {"HTTP_IF_MATCH": if_match})


def test_a_tag_is_the_version_in_quotes_and_strong():
    assert preconditions.etag(SimpleNamespace(version=3)) == '"3"'


@pytest.mark.parametrize("version", [None, "3", True])
def test_what_has_no_version_has_no_tag(version):
    assert preconditions.etag(SimpleNamespace(version=version)) is None
    assert preconditions.etag(SimpleNamespace()) is None


@pytest.mark.parametrize("sent", [None, "", " ", "*"])
def test_it_has_to_name_a_version(sent):
    with pytest.raises(PreconditionRequired):
        preconditions.require(request(sent))


@pytest.mark.parametrize(
    "sent", ["3", "'3'", '"3', '"1", "2"', '"1","1"', 'w/"3"', '"a b"', '"3" x', '"' * 3]
)
def test_it_has_to_be_one_tag(sent):
    with pytest.raises(InvalidPrecondition):
        preconditions.require(request(sent))


@pytest.mark.parametrize("sent", ['"3"', ' "3" ', 'W/"3"', '"anything-else"', '""'])
def test_a_tag_is_a_tag(sent):
    preconditions.require(request(sent))


def test_the_current_version_passes():
    preconditions.check(request(' "3"'), SimpleNamespace(version=3))


@pytest.mark.parametrize("sent", ['"2"', '"4"', '"03"', 'W/"3"', '""', '"three"'])
def test_no_other_does(sent):
    with pytest.raises(PreconditionFailed):
        preconditions.check(request(sent), SimpleNamespace(version=3))


def test_where_no_version_is_judged_a_condition_fails_rather_than_be_ignored():
    with pytest.raises(PreconditionFailed):
        preconditions.refuse(request('"3"'))
    preconditions.refuse(request())
    preconditions.refuse(request('"3"', method="GET"))
