"""security.identifiers."""

import uuid

import pytest
from rest_framework import serializers
from rest_framework.exceptions import NotFound

from accounts.models import Membership, Organisation
from security import identifiers
from security.identifiers import PublicIdRelatedField, canonical_uuid, check_identifiers, parse_public_id
from security.models import AuditEvent
from security.serializers import ReadSerializer
from security.strict_input import StrictModelSerializer, StrictSerializer

CANONICAL = "01a20b51-1e4c-77a9-81e6-aaeaf2d023ae"


def test_it_makes_time_ordered_version_7_ids():
    made = [identifiers.uuid7() for _ in range(50)]

    assert all(type(found) is uuid.UUID and found.version == 7 for found in made)
    assert made == sorted(made)


def test_it_parses_the_canonical_spelling():
    assert parse_public_id(CANONICAL) == uuid.UUID(CANONICAL)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        CANONICAL.upper(),
        CANONICAL.replace("-", ""),
        f"{{{CANONICAL}}}",
        f"urn:uuid:{CANONICAL}",
        f" {CANONICAL}",
        f"{CANONICAL}\n",
        CANONICAL + "0",
        "0" * 4000,
        "\u0661" * 36,
    ],
)
def test_any_other_spelling_is_no_id(text):
    assert canonical_uuid(text) is None
    with pytest.raises(NotFound):
        parse_public_id(text)


@pytest.mark.parametrize("value", [None, 5, ["x"], {"a": 1}, uuid.UUID(CANONICAL)])
def test_what_is_not_a_string_is_no_id(value):
    assert canonical_uuid(value) is None


def test_a_serializer_that_lets_an_internal_key_out_is_an_error(monkeypatch):
    class Leaky(ReadSerializer[AuditEvent]):
        number = serializers.IntegerField(source="pk")

        class Meta:
            model = AuditEvent
            fields = ("id", "event", "organisation_id", "number")

    monkeypatch.setattr(identifiers, "first_party_serializers", lambda: [Leaky])

    errors = check_identifiers()

    assert {error.id for error in errors} == {"security.E020"}
    assert [error.msg.split()[0].rsplit(".", 1)[1] for error in errors] == ["id", "organisation_id", "number"]


def test_declaring_it_does_not_hide_it(monkeypatch):
    class Declared(ReadSerializer[Membership]):
        user_id = serializers.IntegerField()

        class Meta:
            model = Membership
            fields = ("user_id",)

    monkeypatch.setattr(identifiers, "first_party_serializers", lambda: [Declared])

    assert [error.id for error in check_identifiers()] == ["security.E020"]


def test_no_way_around_leads_to_one(monkeypatch):
    """By way of a relation, as a list, by a slug that is none; and where the serializer has no model."""

    class Around(StrictModelSerializer[Membership]):
        person = serializers.IntegerField(source="user.pk", read_only=True)
        tenant = serializers.IntegerField(source="organisation.id", read_only=True)
        slug = serializers.SlugRelatedField("id", source="user", read_only=True)
        sessions = serializers.PrimaryKeyRelatedField(source="user.sessions", many=True, read_only=True)
        name = serializers.CharField(source="user.name", read_only=True)

        class Meta:
            model = Membership
            fields = ("person", "tenant", "slug", "sessions", "name", "role")

    class Hidden(StrictModelSerializer[Organisation]):
        class Meta:
            model = Organisation
            fields = ("name", "memberships")

    class Bare(StrictSerializer):
        member = serializers.PrimaryKeyRelatedField(queryset=Membership.objects.all())

    monkeypatch.setattr(identifiers, "first_party_serializers", lambda: [Around, Hidden, Bare])

    assert [error.msg.split()[0].rsplit(".", 1)[1] for error in check_identifiers()] == [
        "person",
        "tenant",
        "slug",
        "sessions",
        "memberships",
        "member",
    ]


def test_the_projects_own_serializers_pass():
    assert [error for error in check_identifiers() if "tests." not in error.msg] == []


def test_a_related_field_keeps_the_callers_scope():
    assert PublicIdRelatedField(queryset=lambda access: AuditEvent.objects.none()).read_only is False
