"""security.schema."""

import re

import pytest
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from rest_framework.exceptions import ValidationError

from contract.compatibility import load
from security import schema
from security.policy import walk_routes
from security.schema import SECURITY_SCHEME
from security.scopes import all_scopes
from security.strict_input import StrictCharField

#: An object that lists no properties but says what its values are, and how many at most.
MAPS = ("maxProperties", "additionalProperties")


@pytest.fixture(scope="module")
def document():
    return SchemaGenerator().get_schema(request=None, public=True)


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def schemas(node, where="#"):
    """Every schema of the document that has a type, with the place where it is."""
    if isinstance(node, dict):
        if isinstance(node.get("type"), str | list) and not isinstance(node.get("flows"), dict):
            yield where, node
        for name, child in node.items():
            if name not in {"examples", "enum", "default"}:
                yield from schemas(child, f"{where}/{name}")
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from schemas(child, f"{where}/{index}")


def kinds(found):
    kind = found["type"]
    return set(kind if isinstance(kind, list) else [kind]) - {"null"}


def errors(value, found, document):
    """What is wrong with ``value`` by the schema ``found`` of ``document``."""
    registry = Registry().with_resource("urn:document", DRAFT202012.create_resource(document))
    root = _absolute(found)
    validator = Draft202012Validator(
        root, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    return [error.message for error in validator.iter_errors(value)]


def _absolute(node):
    if isinstance(node, dict):
        return {
            name: f"urn:document{child}" if name == "$ref" else _absolute(child)
            for name, child in node.items()
        }
    return [_absolute(child) for child in node] if isinstance(node, list) else node


def test_it_is_valid_openapi_3_1(document):
    assert document["openapi"].startswith("3.1")
    validate(document)


@pytest.mark.asvs("2.1.1")
def test_the_committed_document_is_what_the_code_says(settings, tmp_path):
    call_command("spectacular", file=str(tmp_path / "openapi.yaml"), validate=True, fail_on_warn=True)

    assert load(tmp_path / "openapi.yaml") == load(settings.BASE_DIR / "openapi.yaml")


def test_it_has_every_api_operation_and_no_other(document):
    routed = {
        ("/" + route.replace("<str:id>", "{id}"), method)
        for route, view in walk_routes()
        for method in getattr(view, "actions", {})
        if method != "head"
    }

    assert {(path, method) for path, method, _ in operations(document)} == routed


def test_every_operation_names_the_scopes_of_its_rule(document):
    for path, method, operation in operations(document):
        scopes = {scope for way in operation["security"] for scope in way[SECURITY_SCHEME]}
        assert scopes, (path, method)
        assert scopes <= all_scopes().keys()


def test_the_security_scheme_offers_every_scope_of_every_operation(document):
    (scheme,) = document["components"]["securitySchemes"].values()
    for flow in scheme["flows"].values():
        assert flow["scopes"] == all_scopes()
    assert set(scheme["flows"]) == {"authorizationCode", "clientCredentials"}


def test_every_object_is_closed(document):
    for where, found in schemas(document):
        if "object" in kinds(found):
            if "properties" in found:
                assert found["additionalProperties"] is False, where
            else:
                assert all(part in found for part in MAPS) or found.get("additionalProperties") is False, (
                    where
                )
                assert found.get("additionalProperties") is not True, where


@pytest.mark.asvs("1.3.3", "2.1.1")
def test_every_string_integer_and_array_is_bounded(document):
    """A field that this names needs a max_length, a min_value and max_value, or extend_schema_field."""
    for where, found in schemas(document):
        if "enum" in found or "const" in found:
            continue
        if "string" in kinds(found):
            assert "maxLength" in found, where
            assert found["maxLength"] == 0 or "pattern" in found or "format" in found, where
        if "integer" in kinds(found):
            assert {"minimum", "maximum", "format"} <= found.keys(), where
            assert found["format"] == ("int32" if found["maximum"] < 2**31 else "int64"), where
        if "array" in kinds(found):
            assert {"maxItems", "items"} <= found.keys(), where
        assert "number" not in kinds(found), f"{where}: amounts are integers of minor units"


def test_every_object_that_is_sent_has_an_example_and_every_example_is_valid(document):
    """A field that this names needs an entry in ``examples`` of its serializer."""
    for name, found in document["components"]["schemas"].items():
        if "object" in kinds(found):
            assert found["examples"], name
    for where, found in schemas(document):
        for example in found.get("examples", ()):
            bare = {part: value for part, value in found.items() if part != "examples"}
            assert errors(example, bare, document) == [], where


def test_an_example_that_is_not_valid_is_noticed(document):
    found = document["components"]["schemas"]["Problem"]

    assert errors({**found["examples"][0], "status": "404"}, found, document)
    assert errors({**found["examples"][0], "unheard_of": 1}, found, document)


def test_every_operation_documents_its_refusals(document):
    for path, method, operation in operations(document):
        responses = operation["responses"]
        assert {"400", "401", "403", "406", "414", "429", "431", "500", "503"} <= responses.keys(), (
            path,
            method,
        )
        if "{id}" in path:
            assert "404" in responses
        if method in {"post", "patch"}:
            assert {"409", "411", "413", "415"} <= responses.keys(), (path, method)
        for code, response in responses.items():
            if code >= "400":
                assert set(response["content"]) == {"application/problem+json"}


def test_every_answer_documents_its_headers(document):
    always = {"X-Request-ID"}
    limited = always | {"RateLimit", "RateLimit-Policy"}
    for path, method, operation in operations(document):
        for code, response in operation["responses"].items():
            named = response["headers"].keys()
            assert named >= (limited if code < "500" else always), (path, method, code)
            assert ("Retry-After" in named) is (code in {"429", "503"}), (path, method, code)
            assert ("WWW-Authenticate" in named) is (code in {"400", "401", "403"}), (path, method, code)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("?limit=%FF", {}, 400),
        ("?" + "&".join(f"p{number}=1" for number in range(101)), {}, 400),
        ("?cursor=" + "x" * 9_000, {}, 414),
        ("", {"HTTP_X_LARGE": "x" * 33_000}, 431),
        ("", {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}, 411),
    ],
)
def test_what_is_refused_for_its_form_is_documented_with_its_headers(api, document, query, headers, status):
    method = "POST" if status == 411 else "GET"

    response = api.generic(method, f"/v1/invitations{query}", **headers)

    assert response.status_code == status
    described = document["paths"]["/v1/invitations"][method.lower()]["responses"][str(status)]
    for name, header in described["headers"].items():
        component = document["components"]["headers"][header["$ref"].rpartition("/")[2]]
        assert name in response.headers or not component.get("required"), name


def test_a_list_answers_a_page_and_not_an_array(document):
    for _, _, operation in operations(document):
        if operation["operationId"].endswith("_list"):
            page = operation["responses"]["200"]["content"]["application/json"]["schema"]
            assert page["type"] == "object"
            assert set(page["required"]) == {"items", "next"}


def test_it_tells_nothing_of_the_inside(document):
    words = re.compile(r"\b(security|accounts|resources)\.[a-z_]+|serializer|queryset", re.IGNORECASE)
    assert not words.search(str(document))


@pytest.mark.parametrize(
    "field", [StrictCharField(max_length=9), StrictCharField(max_length=9, multiline=True)]
)
def test_the_pattern_of_text_is_what_strict_input_takes(field):
    """Whatever the pattern refuses is refused; of Latin-1, nothing else is."""
    described = {"type": "string"}
    schema._bound(described, field)
    pattern = re.compile(described["pattern"].replace("$", r"\Z"))  # what $ means in JSON Schema
    for code in range(1, 0x10000):
        for text in (f"a{chr(code)}b", f"{chr(code)}b", f"a{chr(code)}"):
            try:
                taken = bool(field.run_validation(text))
            except ValidationError:
                taken = False
            matches = pattern.search(text) is not None
            assert matches or not taken, hex(code)
            if code < 0x100:
                assert matches == taken, hex(code)


def test_a_lists_answer_is_one_page(document):
    pages = [
        operation["responses"]["200"]["content"]["application/json"]["schema"]
        for _, _, operation in operations(document)
        if operation["operationId"].endswith("_list")
    ]

    assert pages
    for page in pages:
        assert page["type"] == "object"
        assert page["properties"].keys() == {"items", "next"}


def test_operation_ids_are_unique(document):
    ids = [operation["operationId"] for _, _, operation in operations(document)]

    assert len(ids) == len(set(ids))
