"""Identifiers: UUIDv7 outside, bigint inside.

Threat: sequential numbers in URLs count a competitor's invoices and invite enumeration; two spellings of one
id slip past a cache, a block or a log search. Guarantee: rows have a bigint primary key that never leaves
the service and a time-ordered UUID that is the only name they have outside. Ids are accepted in the one
canonical spelling (lower case, with hyphens); every other spelling is no id, so 404 in a path and 400 in a
body. A row named in a body is looked up among the rows that the caller may see: a foreign one is refused
exactly like one that does not exist.

A UUIDv7 reveals when its row was created. OWASP API1:2023. ASVS 8.2.2, 8.2.3. RFC 9562 section 5.7.
"""

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any, cast

import uuid_utils.compat
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import models
from rest_framework import exceptions, serializers

from security.scopes import Access
from security.strict_input import first_party_serializers

CANONICAL = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def uuid7() -> uuid.UUID:
    """A new time-ordered id."""
    return uuid_utils.compat.uuid7()


def canonical_uuid(text: object) -> uuid.UUID | None:
    """``text`` as a UUID if it is one in canonical spelling, else None."""
    return uuid.UUID(text) if isinstance(text, str) and CANONICAL.fullmatch(text) else None


def parse_public_id(text: str) -> uuid.UUID:
    """The id in a path. Raises NotFound (404) for whatever is not one."""
    value = canonical_uuid(text)
    if value is None:
        raise exceptions.NotFound
    return value


class PublicIdModel(models.Model):
    """A row with both names."""

    id = models.BigAutoField(primary_key=True)
    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)

    class Meta:
        abstract = True


class PublicIdField(serializers.UUIDField):
    """A row's public id, to be read."""

    def __init__(self, *, source: str = "public_id", **kwargs: Any) -> None:
        super().__init__(source=source, read_only=True, **kwargs)


class PublicIdRelatedField(serializers.Field[models.Model, str, uuid.UUID, models.Model]):
    """A row named by its public id in a body, found in ``queryset(access)``: what the caller may see."""

    default_error_messages = {
        "type": "Send a string.",
        "not-found": "There is no such object, or you may not see it.",
    }

    def __init__(self, *, queryset: Callable[[Access], models.QuerySet[Any]], **kwargs: Any) -> None:
        self.queryset = queryset
        super().__init__(**kwargs)

    def to_internal_value(self, data: object) -> models.Model:
        if not isinstance(data, str):
            self.fail("type")
        public_id = canonical_uuid(data)
        row = None
        if public_id is not None:
            row = self.queryset(self.context["view"].access).filter(public_id=public_id).first()
        if row is None:
            self.fail("not-found")
        return cast(models.Model, row)

    def to_representation(self, value: models.Model) -> uuid.UUID:
        return cast(PublicIdModel, value).public_id


@register(Tags.security)
def check_identifiers(**kwargs: Any) -> list[CheckMessage]:
    """security.E020: a serializer that lets an internal key out, or takes one."""
    return [
        Error(
            f"{serializer.__module__}.{serializer.__name__}.{name} is an internal key.",
            hint="Read it with PublicIdField, write it with PublicIdRelatedField.",
            id="security.E020",
        )
        for serializer in first_party_serializers()
        for name in _internal_keys(serializer)
    ]


def _internal_keys(serializer: type[serializers.BaseSerializer[Any]]) -> Iterator[str]:
    meta = getattr(serializer, "Meta", None)
    if not issubclass(serializer, serializers.Serializer) or (
        issubclass(serializer, serializers.ModelSerializer)
        and not isinstance(getattr(meta, "fields", None), tuple)  # security.E010, or a base class
    ):
        return
    for name, field in serializer().fields.items():
        child = getattr(field, "child_relation", field)
        sources = [field.source or name]
        if isinstance(child, serializers.SlugRelatedField):
            sources.append(f"{field.source}.{child.slug_field}")
        if isinstance(child, serializers.PrimaryKeyRelatedField) or (
            not isinstance(field, PublicIdRelatedField)
            and any(_is_key(getattr(meta, "model", None), source.split(".")) for source in sources)
        ):
            yield name


def _is_key(model: Any, path: list[str]) -> bool:
    """Whether ``path`` leads from ``model``, by way of its relations, to a number of the inside."""
    if model is None:
        return False
    if len(path) > 1:
        fields = {field.name: field.related_model for field in model._meta.get_fields()}
        return _is_key(fields.get(path[0]), path[1:])
    return path[0] in {"pk", model._meta.pk.name} | {
        name
        for field in model._meta.concrete_fields
        # An opaque organisation_id is a number of another table as well.
        if field.is_relation or (isinstance(field, models.IntegerField) and field.name.endswith("_id"))
        for name in (field.name, field.attname)
    }
