"""Masking: what is encrypted at rest is not shown in full because somebody listed its column.

Threat: a serializer that names the column of account numbers or tax ids, and a list that shows them to
everybody who may read the row; an endpoint that shows one in full, and asks for nothing more than a token.
Guarantee: a reader shows an encrypted column as ``MaskedField``: ``•••• 3000``, or dots alone; a writer takes
it ``write_only``. Anything else ends start-up: security.E090. In full it is shown by ``RevealedField`` alone,
in the answer of an action with a step-up that is not idempotent, for the answer of such a one is stored:
security.E091 and E092 otherwise.

OWASP API3:2023. ASVS 14.2.4, 14.2.6, 15.3.1.
"""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any, cast

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import FieldDoesNotExist
from rest_framework import serializers

from security.encryption import EncryptedField
from security.policy import declared_rules
from security.strict_input import first_party_serializers

MASK = "••••"


class CoveredField(serializers.CharField):
    """An encrypted column in an answer; null where there is no value."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "read_only": True, "allow_null": True})

    def show(self, instance: Any) -> str | None:
        """What the answer says of ``instance``."""
        raise NotImplementedError  # masked or revealed: the subclasses below

    def to_representation(self, value: Any) -> str:
        return MASK  # outside a ReadSerializer, which asks ``show``


class MaskedField(CoveredField):
    """Dots, and the last characters where a column of their own, ``last``, has them."""

    def __init__(self, *, last: str = "", **kwargs: Any) -> None:
        self.last = last
        super().__init__(**{"max_length": 16, **kwargs})

    def show(self, instance: Any) -> str | None:
        if attrgetter(str(self.source))(instance) is None:
            return None
        return f"{MASK} {attrgetter(self.last)(instance)}" if self.last else MASK


class RevealedField(CoveredField):
    """The value itself. Its place is the answer of an action of its own, with a step-up."""

    def show(self, instance: Any) -> str | None:
        sealed = attrgetter(str(self.source))(instance)
        return None if sealed is None else cast(str, sealed.decrypt())


@register(Tags.security)
def check_masking(**kwargs: Any) -> list[CheckMessage]:
    """security.E090: an encrypted column that is neither masked nor only written; E091: shown for nothing."""
    return [*_check_serializers(), *_check_rules()]


def _check_serializers() -> Iterator[CheckMessage]:
    for serializer in first_party_serializers():
        model = getattr(getattr(serializer, "Meta", None), "model", None)
        if model is None or not isinstance(getattr(serializer.Meta, "fields", None), tuple):  # type: ignore[attr-defined]  # there is one
            continue  # the latter is security.E010
        for name, field in cast(Any, serializer)().fields.items():
            if _is_encrypted(model, field) and not (isinstance(field, CoveredField) or field.write_only):
                yield Error(
                    f"{serializer.__module__}.{serializer.__qualname__}.{name} shows an encrypted column.",
                    hint="Read it with MaskedField of security.masking; write it with write_only=True.",
                    id="security.E090",
                )


def _is_encrypted(model: Any, field: Any) -> bool:
    """Whether the field's source leads to an encrypted column, or through one."""
    for attribute in field.source_attrs:
        try:
            column = model._meta.get_field(attribute)
        except FieldDoesNotExist:
            return False
        if isinstance(column, EncryptedField):
            return True
        model = column.related_model
        if model is None:
            return False
    return False


def _check_rules() -> Iterator[CheckMessage]:
    for rule in declared_rules():
        if rule.response is None or not _reveals(rule.response()):
            continue
        name = f"{rule.response.__module__}.{rule.response.__qualname__}"
        if rule.step_up is None:
            yield Error(
                f"{name} reveals a value without a step-up.",
                hint="Give the rule of the action a security.step_up.StepUp, or mask the field.",
                id="security.E091",
            )
        if rule.idempotent:
            yield Error(
                f"{name} reveals a value, and the answers of its action are stored to be given again.",
                hint="Take idempotent from the rule of the action, or mask the field.",
                id="security.E092",
            )


def _reveals(field: Any) -> bool:
    """Whether there is a revealed field in it, at any depth."""
    inner = getattr(field, "child", None)
    below = [inner] if inner is not None else getattr(field, "fields", {}).values()
    return isinstance(field, RevealedField) or any(_reveals(each) for each in below)
