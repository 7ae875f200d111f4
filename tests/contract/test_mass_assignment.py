"""Whatever a body names beside what the operation declares is refused, by name, and nothing changes.

Each writable operation is sent every column of its models, and of the models that these lead to, in the
spellings by which other services were talked into writing them.
"""

import datetime
import json
import uuid

import pytest
from django.apps import apps
from django.db import connection, models

from security import strict_input
from security.models import AuditEvent
from security.strict_input import _shown
from tests import factories
from tests.clients import Api
from tests.contract.walk import example, header_parameters, operations

writes = [operation for operation in operations() if operation.method in {"POST", "PUT", "PATCH"}]
named = {"ids": lambda operation: operation.name}
#: Fewer than an answer names faults, so that each must be among them.
KEYS_A_REQUEST = strict_input.MAX_ERRORS - 20
FORMS = ("{}", " {}", "{} ", "{}\u200b", "{}[]", "{}[0]", "/{}")


def models_of(operation):
    """The view's model and its parent's."""
    view = operation.view.cls
    rows = [view.queryset, view.parent.queryset if view.parent else None]
    return list(dict.fromkeys(queryset.model for queryset in rows if queryset is not None))


def declared(operation):
    request = operation.rule.request
    return {name for name, field in request().fields.items() if not field.read_only} if request else set()


def value_of(field):
    """Something that the column could take."""
    if field.choices:
        return field.choices[-1][0]
    if field.is_relation:
        return 1
    for kind, value in (
        (models.BooleanField, True),
        (models.IntegerField, 7),
        (models.DateTimeField, "2030-01-01T00:00:00Z"),
        (models.DateField, "2030-01-01"),
        (models.UUIDField, str(uuid.UUID(int=7))),
        (models.JSONField, {}),
    ):
        if isinstance(field, kind):
            return value
    return "XX"


def camel(name):
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def spellings(operation):
    """key → value: what no operation declares, made of every column."""
    found = {}
    for model in models_of(operation):
        own = model._meta.model_name
        for field in model._meta.concrete_fields:
            value = value_of(field)
            for name in dict.fromkeys((field.name, field.attname, field.column)):
                names = [camel(name), name.upper(), name.title(), f"{own}.{name}", f"{own}__{name}"]
                names += [f"{own}[{name}]", *(form.format(name) for form in FORMS)]
                found |= dict.fromkeys(names, value)
            if not field.is_relation or field.remote_field is None:
                continue
            for far in field.related_model._meta.concrete_fields:
                names = (f"{field.name}.{far.name}", f"{field.name}__{far.name}", f"{field.name}[{far.name}]")
                found |= dict.fromkeys(names, value_of(far))
        found |= {own: {}, "pk": 1, "data": {}, "attributes": {}, "fields": [], "_method": "PUT"}
    return {name: value for name, value in found.items() if name not in declared(operation)}


def nested(operation):
    """field → values of another shape: an object or a list where one value is meant."""
    found = []
    for model in models_of(operation):
        row = {field.name: value_of(field) for field in model._meta.concrete_fields}
        found += [
            (name, shape) for name in sorted(declared(operation)) for shape in (row, [row], [[]], {"id": 1})
        ]
    return found


def rows(walked, team, call):
    """Every row of every table but the trail, which a refusal adds to. The caller is there before."""
    team.api(call.role)
    header_parameters(walked, team, call)  # and whoever reads the version
    found = {}
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            if model is not AuditEvent and model._meta.managed:
                cursor.execute(f'SELECT md5(t::text) FROM "{model._meta.db_table}" t ORDER BY 1')
                found[model._meta.db_table] = cursor.fetchall()
    return found


def attack(operation, team, call, body):
    path = operation.path(call.target.public_id if call.target else "")
    headers = header_parameters(operation, team, call)
    return team.api(call.role).send(operation.method, path, body, **headers)


def assert_each_is_refused(operation, team):
    """Each key on its own would be: each is named."""
    call = example(operation, team)
    keys = list(spellings(operation).items())
    before = rows(operation, team, call)
    for start in range(0, len(keys), KEYS_A_REQUEST):
        extra = dict(keys[start : start + KEYS_A_REQUEST])
        response = attack(operation, team, call, {**(call.body or {}), **extra})
        assert response.status_code == 400, response.content
        unknown = {error["pointer"] for error in response.json()["errors"] if error["code"] == "unknown"}
        assert unknown == {"/" + _shown(name).replace("~", "~0").replace("/", "~1") for name in extra}
    assert rows(operation, team, call) == before


@pytest.mark.asvs("8.2.3", "8.3.1")
@pytest.mark.parametrize("operation", writes, **named)
def test_no_column_is_written_that_was_not_declared(operation, us):
    assert_each_is_refused(operation, us)


@pytest.mark.parametrize("operation", [each for each in writes if declared(each)], **named)
def test_no_object_or_list_is_taken_for_a_value(operation, us):
    call = example(operation, us)
    good = call.body or {}
    before = rows(operation, us, call)
    for name, value in nested(operation):
        response = attack(operation, us, call, {**good, name: value})
        assert response.status_code == 400, (name, response.content)
        assert {error["pointer"].split("/")[1] for error in response.json()["errors"]} == {name}
    assert attack(operation, us, call, [good]).status_code == 400
    assert rows(operation, us, call) == before


@pytest.mark.asvs("8.3.1")
@pytest.mark.parametrize("operation", writes, **named)
def test_no_column_is_written_by_the_query(operation, us):
    call = example(operation, us)
    before = rows(operation, us, call)
    path = operation.path(call.target.public_id if call.target else "")
    for model in models_of(operation):
        query = "&".join(f"{field.name}={value_of(field)}" for field in model._meta.concrete_fields)
        headers = header_parameters(operation, us, call)
        response = us.api(call.role).send(operation.method, f"{path}?{query}", call.body, **headers)
        assert response.status_code == 400
        named_ones = {error["parameter"] for error in response.json()["errors"]}
        assert named_ones == {field.name for field in model._meta.concrete_fields}
    assert rows(operation, us, call) == before


#: What a gateway, a framework or a careless service might take for the caller's.
CLAIMS = ("ROLE", "SCOPE", "USER", "USER_ID", "REMOTE_USER", "OWNER", "ORGANISATION", "TENANT", "TENANT_ID")


@pytest.mark.asvs("8.3.1")
@pytest.mark.parametrize("operation", operations(), **named)
def test_no_header_makes_somebody_else_of_the_caller(operation, us, them):
    call = example(operation, us)
    path = operation.path(call.target.public_id if call.target else "")
    told = {"ROLE": call.role, "SCOPE": "*", "USER": us.user(call.role).email}
    claims = {name: told.get(name, str(us.organisation.public_id)) for name in CLAIMS}
    headers = {f"HTTP_{prefix}{name}": value for name, value in claims.items() for prefix in ("", "X_")}
    headers |= header_parameters(operation, us, call)
    without_scope = Api(factories.token(us.user(call.role), us.organisation, scopes=""))
    stranger = them.api(call.role)
    before = rows(operation, us, call)

    assert without_scope.send(operation.method, path, call.body, **headers).status_code == 403
    if call.target:
        assert stranger.send(operation.method, path, call.body, **headers).status_code == 404
    assert rows(operation, us, call) == before


@pytest.mark.parametrize("operation", [each for each in writes if each.method == "PATCH"], **named)
def test_a_change_is_of_the_named_fields_alone(operation, us):
    """And of what is made of them, which has their name before its own; and of the version."""
    call = example(operation, us)
    before = columns(call.target)

    response = attack(operation, us, call, call.body)

    assert response.status_code == operation.rule.status, response.content
    after = columns(call.target)
    changed = {name for name in after if after[name] != before[name]}
    assert changed
    assert {name for name in changed if not name.startswith(tuple(call.body))} <= {"version"}


def columns(instance):
    with connection.cursor() as cursor:
        table = instance._meta.db_table
        cursor.execute(f'SELECT to_jsonb(t) FROM "{table}" t WHERE public_id = %s', [instance.public_id])
        (found,) = cursor.fetchone()
    return json.loads(found) if isinstance(found, str) else found


@pytest.mark.parametrize("operation", writes[:1], **named)
def test_a_serializer_that_drops_what_it_does_not_know_is_noticed(operation, us, monkeypatch):
    monkeypatch.setattr(strict_input, "_strictly", lambda serializer, data, parse: parse(data))

    with pytest.raises(AssertionError):
        assert_each_is_refused(operation, us)


def test_every_kind_of_column_has_a_value():
    day = models.DateField()

    assert datetime.date.fromisoformat(value_of(day))
    assert value_of(models.CharField(choices=[("a", "A"), ("b", "B")])) == "b"
