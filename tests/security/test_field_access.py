"""security.field_access, on serializers of the audit trail."""

from types import SimpleNamespace

import pytest
from rest_framework import serializers

from security import field_access
from security.errors import FieldFrozen, FieldNotPermitted
from security.field_access import FieldRule, check_field_access, check_write
from security.models import AuditEvent
from security.serializers import ReadSerializer
from security.strict_input import StrictCharField, StrictSerializer

ONLY_AUDITORS = FieldRule(roles=frozenset({"auditor"}))
ONLY_WITH_SCOPE = FieldRule(scopes=frozenset({"audit:read"}))
ONLY_OPEN = FieldRule(states=frozenset({"open"}))


class Reader(ReadSerializer[AuditEvent]):
    field_rules = {"count": ONLY_AUDITORS, "detail": ONLY_WITH_SCOPE, "client_id": ONLY_OPEN}

    class Meta:
        model = AuditEvent
        fields = ("event", "count", "detail", "client_id")


class Writer(StrictSerializer):
    field_rules = {"note": ONLY_AUDITORS, "title": ONLY_OPEN, "tag": ONLY_WITH_SCOPE}

    note = StrictCharField(max_length=5, required=False)
    title = StrictCharField(max_length=5, required=False)
    tag = StrictCharField(max_length=5, required=False)


def access(role="auditor", scopes=("audit:read",)):
    return SimpleNamespace(role=role, scopes=frozenset(scopes))


def event(status="open"):
    found = AuditEvent(event="a:b:c", count=3, detail={"x": 1}, client_id="web")
    found.status = status
    return found


def read(caller, instance):
    context = {"view": SimpleNamespace(access=caller)} if caller else {}
    one = Reader(instance, context=context).data
    assert Reader([instance, instance], many=True, context=context).data == [one, one]
    return set(one)


@pytest.mark.asvs("8.2.3")
@pytest.mark.parametrize(
    ("caller", "status", "shown"),
    [
        (access(), "open", {"event", "count", "detail", "client_id"}),
        (access(role="contact"), "open", {"event", "detail", "client_id"}),
        (access(scopes=()), "open", {"event", "count", "client_id"}),
        (access(), "closed", {"event", "count", "detail"}),
        (None, "open", {"event"}),
    ],
    ids=["all", "another role", "without the scope", "another state", "nobody in particular"],
)
def test_a_reader_shows_what_role_scope_and_state_admit(caller, status, shown):
    assert read(caller, event(status)) == shown


@pytest.mark.asvs("8.2.3")
@pytest.mark.parametrize(
    ("caller", "sent", "error"),
    [
        (access(), ["note", "title", "tag"], None),
        (access(role="clerk"), ["note"], FieldNotPermitted),
        (access(role="clerk"), ["title", "tag"], None),
        (access(scopes=["vendors:read"]), ["tag"], FieldNotPermitted),
    ],
)
def test_a_writer_takes_what_role_and_scope_admit(caller, sent, error):
    if error is None:
        check_write(Writer(), caller, sent)
        return
    with pytest.raises(error) as refused:
        check_write(Writer(), caller, sent)

    assert [entry["pointer"] for entry in refused.value.extra()["errors"]] == [f"/{name}" for name in sent]
    assert refused.value.status_code == 403


@pytest.mark.asvs("8.2.3")
def test_a_field_is_frozen_in_another_state():
    check_write(Writer(), access(), ["title"], event("open"))
    check_write(Writer(), access(), ["title"])  # a new object has no state yet

    with pytest.raises(FieldFrozen) as refused:
        check_write(Writer(), access(), ["title", "note"], event("closed"))

    assert refused.value.extra()["errors"][0]["pointer"] == "/title"
    assert refused.value.status_code == 409


def test_what_may_not_be_written_is_said_before_what_is_frozen():
    with pytest.raises(FieldNotPermitted):
        check_write(Writer(), access(role="clerk"), ["title", "note"], event("closed"))


# --- misconfigured ---


def test_the_projects_own_serializers_pass():
    assert check_field_access() == []


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        ({"unheard_of": ONLY_AUDITORS}, "there is no field 'unheard_of'"),
        ({"event": FieldRule(roles=frozenset({"emperor"}))}, "event: there is no role 'emperor'"),
        ({"event": FieldRule(scopes=frozenset({"x:y"}))}, "event: there is no scope 'x:y'"),
    ],
)
def test_a_rule_that_names_what_does_not_exist_is_an_error(rules, fault, monkeypatch):
    class Meta:
        fields = ("event",)

    wrong = type("Wrong", (serializers.Serializer,), {"field_rules": rules, "Meta": Meta})
    monkeypatch.setattr(field_access, "first_party_serializers", lambda: [wrong])

    (error,) = check_field_access()

    assert error.id == "security.E070"
    assert fault in error.msg


@pytest.mark.parametrize("many", [False, True])
def test_rules_in_a_nested_serializer_are_an_error(many, monkeypatch):
    class Inner(serializers.Serializer):
        field_rules = {"event": ONLY_AUDITORS}
        event = serializers.CharField()

    class Outer(serializers.Serializer):
        inner = Inner(many=many)

    monkeypatch.setattr(field_access, "first_party_serializers", lambda: [Inner, Outer])

    (error,) = check_field_access()

    assert error.id == "security.E071"
    assert "Outer.inner" in error.msg
