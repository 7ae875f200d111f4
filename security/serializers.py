"""Serializers: what is read is declared field by field and compiled once.

Threat: a model that grew a column, and an API that answers it. Guarantee: a reader lists its fields in an
explicit tuple (security.E010 otherwise); nothing else can leave. Reading and writing are separate classes,
so a field that may be read is not thereby writable.

The fields of a reader are resolved once per class to plain attribute getters, and orjson writes UUIDs,
dates and times itself: this is the difference between 50 rows costing milliseconds and microseconds.

OWASP API3:2023. ASVS 15.3.1, 14.2.6.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, ClassVar, TypeVar

from django.db.models import Model
from rest_framework import serializers

from security.field_access import FieldRule
from security.masking import CoveredField
from security.strict_input import StrictModelSerializer

ModelT = TypeVar("ModelT", bound=Model)
Getter = Callable[[Any], Any]


class ReadSerializer(StrictModelSerializer[ModelT]):
    """A serializer that only reads. Nested readers, method fields and covered ones are asked; every other
    field is the attribute itself, in the form that orjson gives it."""

    #: Fields that are not for every caller: name → FieldRule (security.field_access).
    field_rules: ClassVar[Mapping[str, FieldRule]] = {}
    #: Fields that hold a secret which is shown once: no stored answer has them (security.idempotency).
    shown_once: ClassVar[tuple[str, ...]] = ()

    _getters: list[tuple[str, Getter]]
    _permitted: tuple[list[tuple[str, Getter]], list[tuple[str, Getter, FieldRule]]]

    @classmethod
    def getters(cls) -> list[tuple[str, Getter]]:
        """(name, getter) of each field, resolved on first use and kept on the class."""
        if "_getters" not in cls.__dict__:
            cls._getters = [(name, _getter(field)) for name, field in cls().fields.items()]
        return cls._getters

    def to_representation(self, instance: Any) -> dict[str, Any]:
        # Looked up once for a serializer, which is to say once for a page.
        if "_permitted" not in self.__dict__:
            self._permitted = self._permit()
        plain, by_state = self._permitted
        shown = {name: get(instance) for name, get in plain}
        shown.update({name: get(instance) for name, get, rule in by_state if rule.covers(instance)})
        return shown

    def _permit(self) -> tuple[list[tuple[str, Getter]], list[tuple[str, Getter, FieldRule]]]:
        """What the caller's role and scopes admit: always, and in some states of the object."""
        getters = self.getters()
        if not self.field_rules:
            return getters, []
        view = self.context.get("view")
        access = view.access if view is not None else None
        rules = self.field_rules
        admitted = [(n, get) for n, get in getters if n not in rules or rules[n].admits(access)]
        always = [(n, get) for n, get in admitted if n not in rules or rules[n].states is None]
        by_state = [(n, get, rules[n]) for n, get in admitted if n in rules and rules[n].states is not None]
        return always, by_state

    def to_internal_value(self, data: Any) -> Any:
        raise TypeError(f"{type(self).__name__} only reads")


def _getter(field: serializers.Field[Any, Any, Any, Any]) -> Getter:
    source = str(field.source or field.field_name)
    if isinstance(field, serializers.SerializerMethodField):
        return field.to_representation
    if isinstance(field, CoveredField):
        return field.show
    read = attrgetter(source)
    if isinstance(field, ReadSerializer | serializers.ListSerializer):
        return lambda instance: field.to_representation(read(instance))
    return read
