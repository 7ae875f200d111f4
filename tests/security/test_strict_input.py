"""security.strict_input."""

import datetime
import uuid

import pytest
from django.http import QueryDict
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from security import strict_input
from security.models import AuditEvent
from security.pagination import PageQuery
from security.strict_input import (
    MAX_ECHO,
    QuerySerializer,
    StrictBooleanField,
    StrictCharField,
    StrictChoiceField,
    StrictDateField,
    StrictEmailField,
    StrictIntegerField,
    StrictModelSerializer,
    StrictRegexField,
    StrictSerializer,
    StrictUUIDField,
    check_serializers,
    merge_patch,
    parse_query,
    problem_errors,
)

ID = "01a20b51-1e4c-77a9-81e6-aaeaf2d023ae"


class Nested(StrictSerializer):
    city = StrictCharField(max_length=10)


class Everything(StrictSerializer):
    text = StrictCharField(required=False, max_length=20)
    note = StrictCharField(required=False, max_length=20, multiline=True, allow_blank=True)
    code = StrictRegexField("^[A-Z]{2}$", required=False, max_length=2)
    email = StrictEmailField(required=False, max_length=50)
    number = StrictIntegerField(required=False, min_value=1, max_value=10)
    flag = StrictBooleanField(required=False)
    choice = StrictChoiceField(choices=["a", "1"], required=False)
    uuid = StrictUUIDField(required=False)
    day = StrictDateField(required=False)
    nested = Nested(required=False)
    several = Nested(many=True, required=False)


def validate(data):
    serializer = Everything(data=data)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data


def faults_of(data):
    with pytest.raises(ValidationError) as refused:
        validate(data)
    return {(fault["pointer"], fault["code"]) for fault in problem_errors(refused.value)}


@pytest.mark.parametrize(
    ("field", "sent", "got"),
    [
        ("text", "Zoë ✓", "Zoë ✓"),
        ("text", "5", "5"),
        ("text", "\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("note", "two\nlines", "two\nlines"),
        ("note", "", ""),
        ("code", "DE", "DE"),
        ("email", "a@b.example", "a@b.example"),
        ("number", 5, 5),
        ("flag", True, True),
        ("choice", "1", "1"),
        ("uuid", ID, uuid.UUID(ID)),
        ("day", "2026-02-28", datetime.date(2026, 2, 28)),
        ("nested", {"city": "Graz"}, {"city": "Graz"}),
    ],
)
def test_it_takes_what_the_schema_says(field, sent, got):
    assert validate({field: sent}) == {field: got}


@pytest.mark.asvs("1.3.3", "1.4.2", "2.2.1")
@pytest.mark.parametrize(
    ("field", "sent", "code"),
    [
        ("text", 5, "type"),
        ("text", True, "type"),
        ("text", None, "null"),
        ("text", ["a"], "type"),
        ("text", {"a": 1}, "type"),
        ("text", "", "blank"),
        ("text", " ", "whitespace"),
        ("text", "a ", "whitespace"),
        ("text", "a\x07b", "characters"),
        ("text", "a\nb", "characters"),
        ("text", "a\u202eb", "characters"),
        ("text", "a\u2066b", "characters"),
        ("text", "a\u200bb", "characters"),
        ("text", "a\u00adb", "characters"),
        ("text", "a\u2060b", "characters"),
        ("text", "a\u3164b", "characters"),
        ("text", "a\u2028b", "characters"),
        ("text", "a\U000e0041b", "characters"),
        ("text", "x" * 21, "max-length"),
        ("note", "a\rb", "characters"),
        ("code", "de", "format"),
        ("code", "DE\n", "whitespace"),
        ("email", "nobody", "format"),
        ("number", "5", "type"),
        ("number", 5.0, "type"),
        ("number", True, "type"),
        ("number", None, "null"),
        ("number", 0, "min-value"),
        ("number", 11, "max-value"),
        ("number", 10**30, "max-value"),
        ("flag", "true", "type"),
        ("flag", 1, "type"),
        ("choice", 1, "type"),
        ("choice", "b", "invalid-choice"),
        ("choice", "A", "invalid-choice"),
        ("uuid", ID.upper(), "format"),
        ("uuid", 5, "type"),
        ("day", "2026-02-30", "format"),
        ("day", "20260228", "format"),
        ("day", "2026-02-28T00:00:00Z", "format"),
        ("day", 20260228, "type"),
    ],
)
def test_it_refuses_and_names_the_field(field, sent, code):
    assert faults_of({field: sent}) == {(f"/{field}", code)}


@pytest.mark.parametrize("body", [[], "text", 5, None, True])
def test_a_body_that_is_no_object_is_refused_at_the_root(body):
    assert {pointer for pointer, _ in faults_of(body)} == {""}


def test_the_answer_cuts_long_names():
    """So that what it repeats of a request is bounded, as the document says."""
    assert query_faults("a" * 9999 + "=1", QuerySerializer) == {("a" * MAX_ECHO, "unknown")}


def test_the_answer_repeats_no_control_characters():
    assert query_faults("a%00b%0a%1b%C2%AD=1", QuerySerializer) == {("a\ufffdb\ufffd\ufffd\ufffd", "unknown")}
    assert faults_of({"x\u202ey": 1}) == {("/x\ufffdy", "unknown")}


def test_unknown_keys_are_named_by_escaped_pointer_at_every_level():
    body = {
        "a/b~c": 1,
        "nested": {"city": "Graz", "zip": 8010},
        "several": [{"city": "Wien"}, {"city": 1, "x": 2}],
    }

    assert faults_of(body) == {
        ("/a~1b~0c", "unknown"),
        ("/nested/zip", "unknown"),
        ("/several/1/city", "type"),
        ("/several/1/x", "unknown"),
    }


def test_errors_never_repeat_a_value():
    secret = "hunter2-hunter2-hunter2"

    with pytest.raises(ValidationError) as refused:
        validate({"choice": secret, "text": secret, "uuid": secret, "day": secret, "number": secret})

    assert "hunter2" not in str(problem_errors(refused.value))


def test_the_number_of_errors_is_capped():
    with pytest.raises(ValidationError) as refused:
        validate({f"key{number}": 1 for number in range(500)})

    assert len(problem_errors(refused.value)) == strict_input.MAX_ERRORS


def query_faults(query, serializer=PageQuery):
    with pytest.raises(ValidationError) as refused:
        parse_query(serializer, QueryDict(query))
    assert refused.value.kind == "query"
    return {(fault["parameter"], fault["code"]) for fault in problem_errors(refused.value, kind="query")}


def test_query_defaults_apply():
    defaults = {"cursor": None, "limit": 50, "ordering": "-created_at"}
    assert parse_query(PageQuery, QueryDict("")) == defaults
    assert parse_query(PageQuery, QueryDict("limit=7")) == {**defaults, "limit": 7}


@pytest.mark.asvs("1.4.2", "2.2.1")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("colour=red", {("colour", "unknown")}),
        ("ordering=amount", {("ordering", "invalid-choice")}),
        ("count=true", {("count", "unknown")}),
        ("limit=5&limit=6", {("limit", "repeated")}),
        ("limit=5.0", {("limit", "type")}),
        ("limit=%2B5", {("limit", "type")}),
        ("limit=05", {("limit", "type")}),
        ("limit=", {("limit", "type")}),
        ("limit=\u0665", {("limit", "type")}),
        ("limit=0", {("limit", "min-value")}),
        ("limit=101", {("limit", "max-value")}),
        ("limit=99999999999999999999999", {("limit", "type")}),
        (f"cursor={ID.upper()}", {("cursor", "format")}),
        ("x=1&x=2&y=1&limit=9999", {("x", "repeated"), ("y", "unknown"), ("limit", "max-value")}),
    ],
)
def test_query_parameters_are_strict(query, expected):
    assert query_faults(query) == expected


def test_an_operation_without_parameters_takes_none():
    assert query_faults("a=1", QuerySerializer) == {("a", "unknown")}


def test_a_missing_required_parameter_is_named():
    class Required(QuerySerializer):
        day = StrictDateField()

    assert query_faults("", Required) == {("day", "required")}


# --- misconfigured ---


class LooseModel(serializers.ModelSerializer):
    class Meta:
        model = AuditEvent
        fields = ("event",)


class AllFields(StrictModelSerializer[AuditEvent]):
    class Meta:
        model = AuditEvent
        fields = "__all__"


class Excluding(StrictModelSerializer[AuditEvent]):
    class Meta:
        model = AuditEvent
        exclude = ("detail",)


class ListedLoosely(StrictModelSerializer[AuditEvent]):
    class Meta:
        model = AuditEvent
        fields = ["event"]


class Deep(StrictModelSerializer[AuditEvent]):
    class Meta:
        model = AuditEvent
        fields = ("event",)
        depth = 1


class Unbounded(StrictSerializer):
    text = StrictCharField()


class UnboundedNumber(StrictSerializer):
    number = StrictIntegerField()


class Coercing(StrictSerializer):
    number = serializers.IntegerField(min_value=1, max_value=2)


@pytest.mark.asvs("1.3.3", "2.2.1")
@pytest.mark.parametrize(
    ("serializer", "id_"),
    [
        (AllFields, "security.E010"),
        (Excluding, "security.E010"),
        (ListedLoosely, "security.E010"),
        (LooseModel, "security.E011"),
        (Unbounded, "security.E012"),
        (UnboundedNumber, "security.E013"),
        (Coercing, "security.E014"),
        (Deep, "security.E015"),
    ],
)
def test_a_loose_serializer_is_an_error_that_says_what_to_do(monkeypatch, serializer, id_):
    monkeypatch.setattr(strict_input, "first_party_serializers", lambda: [serializer])

    found = [error for error in check_serializers() if error.id == id_]

    assert len(found) == 1
    assert serializer.__name__ in found[0].msg
    assert found[0].hint


def test_the_serializers_above_are_found_without_being_registered():
    assert {LooseModel, AllFields, Coercing} <= set(strict_input.first_party_serializers())


def test_no_strict_serializer_asks_the_database_about_uniqueness():
    class Writer(StrictModelSerializer[AuditEvent]):
        class Meta:
            model = AuditEvent
            fields = ("event",)

    assert Writer().validators == []
    assert Writer().fields["event"].validators


@pytest.mark.asvs("1.1.1", "1.3.5", "1.3.10")
@pytest.mark.parametrize(
    "text",
    [
        "%252e%2e",
        "&lt;b&gt;",
        "\\u003cb",
        '{"a": 1}',
        "<script>1</script>",
        "**bold** [b]b[/b]",
        "{{7*7}}",
        "${7*7}",
        "{0.__class__}",
        "%n%s",
        "=1+1",
    ],
)
def test_text_is_text_whatever_it_looks_like(text):
    assert validate({"text": text}) == {"text": text}


def test_null_is_refused_where_a_create_stores_nothing_of_its_own():
    class Loose(StrictSerializer):
        name = StrictCharField(max_length=9, required=False)

    class OfAModel(StrictModelSerializer[AuditEvent]):
        name = StrictCharField(max_length=9, required=False)

        class Meta:
            model = AuditEvent
            fields = ("event", "name")

    for serializer in (Loose, OfAModel):
        patched = serializer(data=merge_patch(serializer, {"name": None}), partial=True)
        assert not patched.is_valid()
        assert [error.code for error in patched.errors["name"]] == ["null"]
