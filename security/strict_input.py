"""Strict input: what was not declared is refused, and nothing is coerced.

Threat: mass assignment through a field that the writer forgot; ``"5"``, ``"yes"`` and ``12`` silently turned
into something else, so that two layers read one message differently; control and bidirectional characters
that make a name display as another; a query parameter sent twice, of which each layer takes another one.
Guarantee: unknown body fields and query parameters, repeated parameters, wrong JSON types, values out of
range and invisible control characters are 400, each named by pointer or parameter. Nothing is written. The
answer never repeats a value. The body of a PATCH is a merge patch: what is not sent stays, and ``null``
removes, which is to say sets what a create would that leaves the field out; where it may not be left out,
null is 400.

Every serializer of the project is strict, lists its fields in a tuple, and bounds its strings and integers:
security.E010 to E015 otherwise, which end start-up. Uniqueness is the database's to judge: DRF's validators
ask it unscoped, and so would tell one tenant about another's rows.

OWASP API3:2023, API6:2023. ASVS 1.5.2, 2.2.1, 2.2.2, 2.2.3, 15.3.3. RFC 6901, RFC 7396, RFC 3339.
"""

import datetime
import re
import sys
import sysconfig
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast
from uuid import UUID

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import FieldDoesNotExist
from django.core.validators import EmailValidator, RegexValidator
from django.db import models
from django.http import QueryDict
from django.urls import get_resolver
from django.utils.module_loading import autodiscover_modules
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.settings import api_settings
from rest_framework.validators import UniqueValidator

MAX_ERRORS = 100
#: Characters of an unknown name that the answer repeats.
MAX_ECHO = 128

#: Controls, formatting (bidirectional overrides, zero-width space, tags), surrogates, unassigned.
REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Cn"})
#: Formatting that Persian and the scripts of India are not written without.
JOINERS = frozenset("\u200c\u200d")
#: Letters and marks by category, and nothing on the screen; and the two line separators.
INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2028\u2029\u3164\uffa0")
WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,18}")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
UUID_SPELLING = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

ModelT = TypeVar("ModelT", bound=models.Model)


class StrictCharField(serializers.CharField):
    """A JSON string, taken as it is: neither trimmed nor made of a number."""

    default_error_messages = {
        "type": "Send a string.",
        "characters": "It holds a control or invisible formatting character.",
        "whitespace": "It starts or ends with white space.",
        "blank": "It is empty.",
        "max_length": "It is longer than {max_length} characters.",
        "min_length": "It is shorter than {min_length} characters.",
    }

    def __init__(self, *, multiline: bool = False, **kwargs: Any) -> None:
        self.allowed = frozenset("\n\t") if multiline else frozenset()
        super().__init__(trim_whitespace=False, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        # DRF's own turns blanks into "" before anything of ours is asked.
        return serializers.Field.run_validation(self, data)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("type")
        if not data and not self.allow_blank:
            self.fail("blank")
        if data != data.strip():
            self.fail("whitespace")
        if not data.isascii() or not data.isprintable():
            for character in data:
                if character in self.allowed:
                    continue
                if character in INVISIBLE or (
                    unicodedata.category(character) in REFUSED_CATEGORIES and character not in JOINERS
                ):
                    self.fail("characters")
        return data


class StrictRegexField(StrictCharField):
    """A string of one format."""

    def __init__(self, regex: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # A final line break, which $ would let through, is a control character and refused before.
        self.validators.append(RegexValidator(regex, message="It does not have the format.", code="format"))


class StrictEmailField(StrictCharField):
    """An e-mail address."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.validators.append(EmailValidator(message="It is not an e-mail address.", code="format"))


class StrictIntegerField(serializers.IntegerField):
    """A JSON integer: not ``"5"``, ``5.0`` or ``true``. In a query string, its one canonical spelling."""

    default_error_messages = {
        "type": "Send an integer.",
        "max_value": "It is greater than {max_value}.",
        "min_value": "It is less than {min_value}.",
    }

    def to_internal_value(self, data: Any) -> int:
        if _is_query(self):
            if not WHOLE_NUMBER.fullmatch(data):
                self.fail("type")
            return int(data)
        if type(data) is not int:
            self.fail("type")
        return data


class StrictBooleanField(serializers.BooleanField):
    """JSON true or false; ``true`` or ``false`` in a query string."""

    default_error_messages = {"type": "Send true or false."}

    def to_internal_value(self, data: Any) -> bool:
        if _is_query(self):
            data = {"true": True, "false": False}.get(data, data)
        if type(data) is not bool:
            self.fail("type")
        return data


class StrictChoiceField(serializers.ChoiceField):
    """One of the listed strings, exactly."""

    default_error_messages = {
        "type": "Send a string.",
        "invalid_choice": "It is not one of the values that the schema lists.",
    }

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("type")
        if data not in self.choices:
            self.fail("invalid_choice")
        return data


class StrictUUIDField(serializers.UUIDField):
    """A UUID in canonical spelling: lower case, with hyphens."""

    default_error_messages = {"type": "Send a string.", "format": "It is not a UUID in canonical spelling."}

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str):
            self.fail("type")
        if not UUID_SPELLING.fullmatch(data):
            self.fail("format")
        return UUID(data)


class StrictDateField(serializers.DateField):
    """A day as ``YYYY-MM-DD`` (RFC 3339 full-date)."""

    default_error_messages = {"type": "Send a string.", "format": "It is not a date, YYYY-MM-DD."}

    def to_internal_value(self, data: Any) -> datetime.date:
        if not isinstance(data, str):
            self.fail("type")
        try:
            return datetime.date.fromisoformat(data if DATE.fullmatch(data) else "")
        except ValueError:
            self.fail("format")


class StrictSerializer(serializers.Serializer[Any]):
    """The base of serializers without a model."""

    default_error_messages = {"invalid": "Send a JSON object."}

    def to_internal_value(self, data: Any) -> Any:
        return _strictly(self, data, super().to_internal_value)


class StrictModelSerializer(serializers.ModelSerializer[ModelT]):
    """The base of serializers of a model: its generated fields are strict as well."""

    default_error_messages = {"invalid": "Send a JSON object."}

    serializer_field_mapping: ClassVar[dict[Any, Any]] = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.BigIntegerField: StrictIntegerField,
        models.BooleanField: StrictBooleanField,
        models.CharField: StrictCharField,
        models.DateField: StrictDateField,
        models.EmailField: StrictEmailField,
        models.IntegerField: StrictIntegerField,
        models.PositiveIntegerField: StrictIntegerField,
        models.UUIDField: StrictUUIDField,
    }
    serializer_choice_field = StrictChoiceField

    def to_internal_value(self, data: Any) -> Any:
        return _strictly(self, data, super().to_internal_value)

    def build_standard_field(self, field_name: str, model_field: Any) -> Any:
        field_class, kwargs = super().build_standard_field(field_name, model_field)
        kwargs["validators"] = [
            # The model's own check of an address is the strict field's; uniqueness is the database's.
            validator
            for validator in kwargs.get("validators", [])
            if not isinstance(validator, UniqueValidator | EmailValidator)
        ]
        if not kwargs["validators"]:
            del kwargs["validators"]
        return field_class, kwargs

    def get_unique_together_validators(self) -> list[Any]:
        return []

    def get_unique_for_date_validators(self) -> list[Any]:
        return []


class QuerySerializer(StrictSerializer):
    """The query parameters of an operation; without fields, none are accepted."""


def parse_query(serializer_class: type[QuerySerializer], query_params: QueryDict) -> dict[str, Any]:
    """The validated query parameters. Raises ValidationError with ``kind="query"`` (400)."""
    if not query_params:
        return dict(_defaults(serializer_class))
    errors: dict[str, list[ErrorDetail]] = {
        name: [ErrorDetail("The parameter is repeated.", code="repeated")]
        for name, values in query_params.lists()
        if len(values) > 1
    }
    serializer = serializer_class(data=query_params.dict())
    if not serializer.is_valid():
        errors = {**cast(dict[str, Any], serializer.errors), **errors}
    if errors:
        invalid = ValidationError(errors)
        invalid.kind = "query"  # type: ignore[attr-defined]  # read by security.errors.render
        raise invalid
    return cast(dict[str, Any], serializer.validated_data)


def merge_patch(serializer_class: type[serializers.BaseSerializer[Any]], patch: Any) -> Any:
    """``patch`` with the value that removal leaves in place of each ``null`` (RFC 7396).

    Nothing is nested (security.E002). A required field keeps its null, which is refused; so does one for
    which null is a value of its own.
    """
    if not isinstance(patch, dict) or None not in patch.values():
        return patch
    merged = dict(patch)
    for name, field in serializer_class().fields.items():  # type: ignore[attr-defined]  # a strict one has fields
        if name in merged and merged[name] is None and not (field.required or field.allow_null):
            merged[name] = _default(serializer_class, field)
    return merged


def problem_errors(exc: ValidationError, *, kind: str = "body") -> list[dict[str, str]]:
    """``exc`` as the ``errors`` member of problem details: pointer (RFC 6901) or parameter, code, detail."""
    faults = []
    for path, error in _walk_errors(exc.detail, ()):
        if kind == "query":
            place = {"parameter": path[0] if path else ""}
        else:
            place = {"pointer": "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)}
        faults.append({**place, "code": (error.code or "invalid").replace("_", "-"), "detail": str(error)})
        if len(faults) == MAX_ERRORS:
            break
    return faults


def first_party_serializers() -> Iterator[type[serializers.BaseSerializer[Any]]]:
    """Every serializer class that is not a library's, in the modules that the apps and the URLconf load."""
    autodiscover_modules("serializers", "views")
    get_resolver().url_patterns  # noqa: B018  importing the URLconf is what finds the rest
    yield from sorted(
        (found for found in _subclasses(serializers.BaseSerializer) if is_first_party(found)),
        key=lambda found: (found.__module__, found.__qualname__),
    )


@register(Tags.security)
def check_serializers(**kwargs: Any) -> list[CheckMessage]:
    """security.E010 fields not listed, E011 not strict, E012 to E014 loose field, E015 depth."""
    return [fault for serializer in first_party_serializers() for fault in _check_serializer(serializer)]


def _check_serializer(serializer: type[serializers.BaseSerializer[Any]]) -> Iterator[CheckMessage]:
    name = f"{serializer.__module__}.{serializer.__qualname__}"
    if not issubclass(serializer, StrictSerializer | StrictModelSerializer | serializers.ListSerializer):
        yield Error(
            f"{name} is not strict: it drops unknown fields silently.",
            hint="Derive it from StrictSerializer, StrictModelSerializer or ReadSerializer.",
            id="security.E011",
        )
    meta = getattr(serializer, "Meta", None)
    if getattr(meta, "depth", 0):
        yield Error(
            f"{name} has a depth: related rows would be shown whole.",
            hint="Declare a reader for each related object that is to be shown.",
            id="security.E015",
        )
    if issubclass(serializer, serializers.ModelSerializer):
        if meta is None:
            return  # abstract: a base class of readers or writers
        if not isinstance(getattr(meta, "fields", None), tuple) or hasattr(meta, "exclude"):
            yield Error(
                f"{name} does not list its fields: every column that the model gains would be exposed.",
                hint='Give Meta.fields as a tuple of names; neither "__all__" nor Meta.exclude.',
                id="security.E010",
            )
            return
    if issubclass(serializer, serializers.Serializer):
        for field_name, field in serializer().fields.items():
            if not field.read_only:
                yield from _check_field(f"{name}.{field_name}", field)


def _check_field(name: str, field: serializers.Field[Any, Any, Any, Any]) -> Iterator[CheckMessage]:
    if isinstance(field, StrictCharField) and field.max_length is None:
        yield Error(f"{name} has no max_length.", hint="Give max_length=….", id="security.E012")
    if isinstance(field, StrictIntegerField) and (field.min_value is None or field.max_value is None):
        yield Error(f"{name} is not bounded.", hint="Give min_value=… and max_value=….", id="security.E013")
    if type(field).__module__.startswith("rest_framework.") and not isinstance(
        field, serializers.ListSerializer
    ):
        yield Error(
            f"{name} is a {type(field).__name__}, which coerces what it gets.",
            hint="Use the Strict… field of security.strict_input, or write one.",
            id="security.E014",
        )


def _strictly(serializer: Any, data: Any, parse: Any) -> Any:
    """``parse(data)``, with keys that no writable field declares added to the faults."""
    if not isinstance(data, Mapping):
        raise ValidationError(
            {api_settings.NON_FIELD_ERRORS_KEY: [ErrorDetail("Send a JSON object.", code="type")]}
        )
    declared = {field.field_name for field in serializer._writable_fields}
    query = _is_query(serializer)
    text = "This operation has no such parameter." if query else "This operation has no such field."
    errors: dict[str, Any] = {key: [ErrorDetail(text, code="unknown")] for key in data if key not in declared}
    try:
        values = parse(data)
    except ValidationError as error:
        errors |= cast(dict[str, Any], error.detail)
    if errors:
        raise ValidationError(errors)
    return values


def _default(serializer_class: type[Any], field: serializers.Field[Any, Any, Any, Any]) -> Any:
    """What a create stores that leaves the field out; None, which the field judges, where that is nothing."""
    if field.default is not serializers.empty:
        return field.get_default()
    model = getattr(getattr(serializer_class, "Meta", None), "model", None)
    try:
        return model._meta.get_field(field.source or field.field_name).get_default() if model else None
    except FieldDoesNotExist:
        return None


def _is_query(field: serializers.Field[Any, Any, Any, Any]) -> bool:
    return isinstance(field.root, QuerySerializer)


@cache
def _defaults(serializer_class: type[QuerySerializer]) -> dict[str, Any]:
    """What no parameters at all give; raises ValidationError where one is required."""
    serializer = serializer_class(data={})
    if not serializer.is_valid():
        invalid = ValidationError(serializer.errors)
        invalid.kind = "query"  # type: ignore[attr-defined]  # as above
        raise invalid
    return cast(dict[str, Any], serializer.validated_data)


def _walk_errors(detail: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], ErrorDetail]]:
    if isinstance(detail, dict):
        for key, value in detail.items():
            here = path if key == api_settings.NON_FIELD_ERRORS_KEY else (*path, _shown(str(key)))
            yield from _walk_errors(value, here)
    elif isinstance(detail, list):
        for index, value in enumerate(detail):
            nested = isinstance(value, dict | list)
            if value:
                yield from _walk_errors(value, (*path, str(index)) if nested else path)
    else:
        yield path, detail


def _shown(name: str) -> str:
    """A name as the answer repeats it: the beginning of it, without controls and what does not show."""
    return "".join(c if c.isprintable() else "\ufffd" for c in name[:MAX_ECHO])


def _subclasses(base: type[Any]) -> Iterator[type[Any]]:
    for child in base.__subclasses__():
        yield child
        yield from _subclasses(child)


@cache
def _libraries() -> frozenset[Path]:
    return frozenset(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib"))


def is_first_party(found: type[Any]) -> bool:
    """Whether a class is not a library's."""
    source = getattr(sys.modules.get(found.__module__), "__file__", None)
    return source is not None and not any(Path(source).is_relative_to(library) for library in _libraries())
