"""Field access: single fields that some may read or write, and others not.

Threat: an object that its caller may see, with a field in it that was not meant for them; a field that was
settled and is changed afterwards. Guarantee: a serializer's ``field_rules`` name, for such a field, the
roles, scopes and states of the object for which it is there. A reader leaves the field out for everybody
else. A writer that is sent the field by somebody else answers 403, and in another state 409; nothing is
written. The OpenAPI document says the same of each field, and does not require what may be left out. A field
without a rule is for everybody whom the action's rule admits.

A rule that names a field, role or scope that does not exist ends start-up (security.E070), and so do rules in
a serializer that is a field of another one, where nothing would ask them (security.E071).

OWASP API3:2023. ASVS 8.1.2, 8.2.3, 15.3.1.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from rest_framework.serializers import BaseSerializer

from security.errors import FieldFrozen, FieldNotPermitted
from security.scopes import SERVICE_ROLE, Access, all_roles, all_scopes
from security.strict_input import first_party_serializers


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRule:
    """For whom, and in which states of its object, a field is there. None: whatever the action admits."""

    roles: frozenset[str] | None = None
    scopes: frozenset[str] | None = None
    states: frozenset[str] | None = None

    def admits(self, access: Access | None) -> bool:
        """Whether role and scope suffice. Nobody in particular is admitted to nothing."""
        if access is None:
            return False
        return (self.roles is None or access.role in self.roles) and (
            self.scopes is None or not self.scopes.isdisjoint(access.scopes)
        )

    def covers(self, instance: Any) -> bool:
        """Whether the object is in one of the states."""
        return self.states is None or instance.status in self.states

    def describe(self) -> dict[str, list[str]]:
        """The rule for the OpenAPI document."""
        parts = {"roles": self.roles, "scopes": self.scopes, "states": self.states}
        return {name: sorted(map(str, values)) for name, values in parts.items() if values is not None}


def field_rules(serializer: Any) -> dict[str, FieldRule]:
    """The rules of a serializer or its class, by field."""
    found: dict[str, FieldRule] = getattr(serializer, "field_rules", {})
    return found


def check_write(serializer: Any, access: Access, sent: Iterable[str], instance: Any = None) -> None:
    """Raises FieldNotPermitted (403) or FieldFrozen (409) for what ``access`` may not write.

    Without an ``instance`` there is no state yet, so none forbids.
    """
    rules = field_rules(serializer)
    ruled = [(name, rules[name]) for name in sent if name in rules]
    if forbidden := [name for name, rule in ruled if not rule.admits(access)]:
        raise FieldNotPermitted(forbidden)
    if instance is not None and (frozen := [name for name, rule in ruled if not rule.covers(instance)]):
        raise FieldFrozen(frozen)


def withhold(serializer: Any, access: Access, shown: dict[str, Any]) -> None:
    """Take out of an answer that was made before what ``access`` may not read now."""
    for name, rule in field_rules(serializer).items():
        if not rule.admits(access):
            shown.pop(name, None)
    for name, field in serializer().fields.items():
        nested = getattr(field, "child", field)
        if isinstance(nested, BaseSerializer):
            value = shown.get(name)
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, dict):
                    withhold(type(nested), access, part)


@register(Tags.security)
def check_field_access(**kwargs: Any) -> list[CheckMessage]:
    """security.E070: a field rule that names what does not exist; E071: rules in a nested serializer."""
    messages: list[CheckMessage] = []
    for serializer in first_party_serializers():
        path = f"{serializer.__module__}.{serializer.__qualname__}"
        messages += [
            Error(
                f"{path}.field_rules: {fault}.",
                hint="Name fields of the serializer, and roles and scopes that an AppConfig contributes.",
                id="security.E070",
            )
            for fault in _faults(serializer)
        ]
        messages += [
            Error(
                f"{path}.{name} is a serializer with field rules.",
                hint="Rules are asked of the action's own serializer: put the fields there, or drop them.",
                id="security.E071",
            )
            for name, field in getattr(serializer, "_declared_fields", {}).items()
            if field_rules(getattr(field, "child", field))
        ]
    return messages


def _faults(serializer: type[BaseSerializer[Any]]) -> Iterator[str]:
    fields = getattr(getattr(serializer, "Meta", None), "fields", None)
    declared = set(fields or ()) | set(getattr(serializer, "_declared_fields", {}))
    for name, rule in field_rules(serializer).items():
        if name not in declared:
            yield f"there is no field {name!r}"
        for kind, named, known in (
            ("role", rule.roles, all_roles().keys() | {SERVICE_ROLE}),
            ("scope", rule.scopes, all_scopes().keys()),
        ):
            for unknown in sorted((named or frozenset()) - known):
                yield f"{name}: there is no {kind} {unknown!r}"
