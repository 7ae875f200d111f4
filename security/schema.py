"""Schema: the OpenAPI document, from the same rules that the policy enforces.

Threat: a document that says less than the service does (an undocumented route or scope), or a schema so
open that a generated client or a gateway lets anything through. Guarantee: each operation's scopes, body,
parameters and answers come from its ``Rule``; every object with properties is closed
(``additionalProperties: false``), and what may be sent is bounded as the serializer bounds it;
``openapi.yaml`` is committed, and ``make check`` fails when it is not what the code says.

OWASP API9:2023. ASVS 4.1.5, 13.1.1. OpenAPI 3.1.
"""

from typing import Any, cast

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import get_lib_doc_excludes
from drf_spectacular.utils import OpenApiParameter

from security.field_access import field_rules
from security.pagination import MAX_LIMIT, PageQuery
from security.policy import NoBody, PolicyViewSet, Rule
from security.scopes import all_scopes
from security.serializers import ReadSerializer
from security.strict_input import QuerySerializer, StrictSerializer

PROBLEM = "Problem"
#: Refusals that any operation may answer with, and those of some.
ALWAYS = {
    "400": "The request does not match the schema.",
    "401": "No access token, or one that cannot be used.",
    "403": "The token's scope or the caller's role does not permit it.",
    "406": "application/json is not acceptable to the caller.",
    "429": "A rate limit is used up.",
    "503": "A dependency is out of reach.",
}
OBJECT = {"404": "There is no such object, or the caller may not see it."}
WRITE = {
    "409": "The object's state, or a unique value, does not permit it.",
    "413": "The body is too large.",
    "415": "The body is not application/json in UTF-8.",
}
UUID_SCHEMA = {"type": "string", "format": "uuid", "minLength": 36, "maxLength": 36}


SECURITY_SCHEME = "oauth2"


def security_scheme() -> dict[str, Any]:
    """What the operations' scopes belong to."""
    endpoints = {"tokenUrl": "/oauth/token", "scopes": all_scopes()}
    return {
        "type": "oauth2",
        "description": "OAuth 2.0 (RFC 6749, RFC 9700). Access tokens are opaque, live for five minutes "
        "and act for one organisation. PKCE with S256 is required.",
        "flows": {
            "authorizationCode": {
                "authorizationUrl": "/oauth/authorize",
                "refreshUrl": "/oauth/token",
                **endpoints,
            },
            "clientCredentials": endpoints,
        },
    }


class PublicIdRelatedFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # registers itself
    target_class = "security.identifiers.PublicIdRelatedField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return dict(UUID_SCHEMA)


class PolicySchema(AutoSchema):
    """Reads the rule of each action."""

    @property
    def rule(self) -> Rule:
        return cast(PolicyViewSet, self.view).rule

    @property
    def action(self) -> str:
        return str(cast(PolicyViewSet, self.view).action)

    def get_operation_id(self) -> str:
        route = [part for part in self.path.split("/")[2:] if not part.startswith("{")]
        words = route if route[-1] == self.action else [*route, self.action]
        return "_".join(words).replace("-", "_")

    def get_auth(self) -> list[dict[str, Any]]:
        return [{SECURITY_SCHEME: [scope]} for scope in self.rule.scopes]

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> dict[str, Any]:
        """Beside each field that is not for everybody: for whom it is (security.field_access)."""
        schema: dict[str, Any] = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]  # the library's
        rules = field_rules(serializer)
        for name in rules.keys() & schema.get("properties", {}).keys():
            described = rules[name].describe()
            words = "; ".join(f"{part}: {', '.join(values)}" for part, values in described.items())
            field = schema["properties"][name]
            field["description"] = " ".join([*filter(None, [field.get("description")]), f"Only for {words}."])
            field["x-only-for"] = described
        if direction == "response" and "required" in schema:
            schema["required"] = [name for name in schema["required"] if name not in rules]
        return schema

    def get_tags(self) -> list[str]:
        return [self.path.split("/")[2]]

    def get_request_serializer(self) -> Any:
        request = self.rule.request
        return None if request is NoBody else request

    def get_filter_backends(self) -> list[Any]:
        return []

    def get_override_parameters(self) -> list[Any]:
        parameters: list[Any] = [self.rule.query] if self.rule.query is not None else []
        if "{id}" in self.path:
            parameters.append(
                OpenApiParameter("id", UUID_SCHEMA, OpenApiParameter.PATH, description="Public id.")
            )
        return parameters

    def get_response_serializers(self) -> Any:
        """The answers as raw schemas, by status."""
        responses: dict[str, Any] = {}
        success = self.rule.response
        if success is None:
            responses[str(self.rule.status)] = None
        elif self.action == "list":
            item = self.resolve_serializer(cast(Any, success), "response").ref
            responses["200"] = {
                "type": "object",
                "required": ["items", "next"],
                "properties": {
                    "items": {"type": "array", "maxItems": MAX_LIMIT, "items": item},
                    "next": {
                        **UUID_SCHEMA,
                        "type": ["string", "null"],
                        "description": "The cursor of the next page; null on the last.",
                    },
                },
            }
        else:
            responses[str(self.rule.status)] = success
        return responses

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = cast(dict[str, Any], super().get_operation(*args, **kwargs))
        refusals = dict(ALWAYS)
        if "{id}" in self.path:
            refusals |= OBJECT
        if self.method != "GET":
            refusals |= WRITE
        for code, description in refusals.items():
            operation["responses"][code] = {
                "description": description,
                "content": {
                    "application/problem+json": {"schema": {"$ref": f"#/components/schemas/{PROBLEM}"}}
                },
            }
        for code, response in operation["responses"].items():
            response["headers"] = dict(HEADERS)
            if code in {"429", "503"}:
                response["headers"]["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
        operation["responses"] = dict(sorted(operation["responses"].items()))
        return operation


HEADERS = {
    name: {"$ref": f"#/components/headers/{name.replace('-', '')}"}
    for name in ("RateLimit", "RateLimit-Policy", "X-Request-ID")
}

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri", "maxLength": 512},
        "title": {"type": "string", "maxLength": 128},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "maxLength": 512},
        "instance": {"type": "string", "pattern": "^urn:uuid:[0-9a-f-]{36}$", "maxLength": 45},
        "errors": {
            "type": "array",
            "maxItems": 100,
            "items": {
                "type": "object",
                "required": ["code", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON Pointer into the body, RFC 6901."},
                    "parameter": {"type": "string", "description": "Name of the query parameter."},
                    "code": {"type": "string", "maxLength": 64},
                    "detail": {"type": "string", "maxLength": 512},
                },
            },
        },
        "status_of_object": {"type": "string", "maxLength": 32},
        "violated-policies": {"type": "array", "maxItems": 8, "items": {"type": "string", "maxLength": 64}},
    },
}


def close_objects(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """drf-spectacular postprocessing: the shared components, and every object closed."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})[PROBLEM] = PROBLEM_SCHEMA
    components["securitySchemes"] = {SECURITY_SCHEME: security_scheme()}
    components["headers"] = {
        "RateLimit": {
            "description": "What is left of each policy: r requests now, full again in t seconds.",
            "schema": {"type": "string", "maxLength": 256},
        },
        "RateLimitPolicy": {
            "description": "Each policy: q requests in w seconds.",
            "schema": {"type": "string", "maxLength": 256},
        },
        "RetryAfter": {
            "description": "Seconds until a request fits again.",
            "schema": {"type": "integer", "minimum": 0, "maximum": 86_400},
        },
        "XRequestID": {"description": "The request's id.", "schema": {"type": "string", "format": "uuid"}},
    }
    components["schemas"] = dict(sorted(components["schemas"].items()))
    result["servers"] = [{"url": "/"}]
    _close(result)
    return result


def _close(node: Any) -> None:
    if isinstance(node, dict):
        if node.get("type") == "object" and "properties" in node:
            node["additionalProperties"] = False
        for child in node.values():
            _close(child)
    elif isinstance(node, list):
        for child in node:
            _close(child)


def lib_doc_excludes() -> list[type]:
    """GET_LIB_DOC_EXCLUDES: our base classes' docstrings are for developers, not for the document."""
    ours = [PolicyViewSet, QuerySerializer, PageQuery, ReadSerializer, StrictSerializer]
    return [*get_lib_doc_excludes(), *ours]  # type: ignore[no-untyped-call]  # the library's
