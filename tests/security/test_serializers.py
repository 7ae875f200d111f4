"""security.serializers."""

import pytest

from security.identifiers import PublicIdField, uuid7
from security.models import AuditEvent
from security.serializers import ReadSerializer


class Reader(ReadSerializer[AuditEvent]):
    id = PublicIdField()
    tag = PublicIdField(source="event")

    class Meta:
        model = AuditEvent
        fields = ("id", "tag", "count", "detail")


def test_it_reads_the_listed_fields_and_no_others():
    event = AuditEvent(public_id=uuid7(), event="a:b:c", organisation_id=5, count=3, detail={"x": 1})

    assert Reader(event).data == {"id": event.public_id, "tag": "a:b:c", "count": 3, "detail": {"x": 1}}


def test_it_writes_nothing():
    assert all(field.read_only for field in Reader().fields.values())
    with pytest.raises(TypeError, match="only reads"):
        Reader().to_internal_value({"count": 5})


def test_getters_are_compiled_once_for_each_class():
    class Narrow(Reader):
        class Meta:
            model = AuditEvent
            fields = ("id",)

        tag = None

    assert Reader.getters() is Reader.getters()
    assert [name for name, _ in Narrow.getters()] == ["id"]
