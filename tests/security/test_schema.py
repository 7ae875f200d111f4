"""security.schema."""

import pytest
import yaml
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator
from openapi_spec_validator import validate

from security.policy import walk_routes
from security.schema import SECURITY_SCHEME
from security.scopes import all_scopes


@pytest.fixture(scope="module")
def document():
    return SchemaGenerator().get_schema(request=None, public=True)


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def objects(node):
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield node
        for child in node.values():
            yield from objects(child)
    elif isinstance(node, list):
        for child in node:
            yield from objects(child)


def test_it_is_valid_openapi_3_1(document):
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_the_committed_document_is_what_the_code_says(settings, tmp_path):
    call_command("spectacular", file=str(tmp_path / "openapi.yaml"), validate=True, fail_on_warn=True)

    committed = (settings.BASE_DIR / "openapi.yaml").read_text()
    assert yaml.safe_load((tmp_path / "openapi.yaml").read_text()) == yaml.safe_load(committed)


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


def test_every_object_with_properties_is_closed(document):
    for found in objects(document["paths"]):
        assert found.get("additionalProperties") is False, found
    for name, schema in document["components"]["schemas"].items():
        for found in objects(schema):
            if "properties" in found:
                assert found["additionalProperties"] is False, name


def test_every_operation_documents_its_refusals(document):
    for path, method, operation in operations(document):
        responses = operation["responses"]
        assert {"400", "401", "403", "429", "503"} <= responses.keys(), (path, method)
        if "{id}" in path:
            assert "404" in responses
        for code in ("400", "401", "429"):
            assert set(responses[code]["content"]) == {"application/problem+json"}


def test_operation_ids_are_unique(document):
    ids = [operation["operationId"] for _, _, operation in operations(document)]

    assert len(ids) == len(set(ids))
