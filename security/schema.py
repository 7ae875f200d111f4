"""Schema: the OpenAPI document, from the same rules that the policy enforces.

Threat: a document that says less than the service does (an undocumented route, scope or status), or a schema
so open that a generated client or a gateway lets anything through. Guarantee: each operation's scopes, body,
parameters and answers come from its ``Rule``; every object is closed (``additionalProperties: false``, or
typed values and a maximum of them); every string, integer and array is bounded, in requests as the serializer
bounds it and in answers as the column does; every example is valid. ``openapi.yaml`` is committed, and
``make check`` fails when it is not what the code says, or when a client of the last released document would
break.

OWASP API9:2023. ASVS 4.1.5, 13.1.1. OpenAPI 3.1, JSON Schema 2020-12.
"""

import re
from typing import Any, cast

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import get_lib_doc_excludes
from drf_spectacular.utils import OpenApiParameter

from security import idempotency, preconditions
from security.field_access import field_rules
from security.inventory import walk_routes
from security.json_parser import MergePatchParser, StrictJSONParser
from security.pagination import MAX_LIMIT, PageQuery
from security.policy import NoBody, PolicyViewSet, Rule
from security.scopes import all_scopes
from security.serializers import ReadSerializer
from security.step_up import StepUp
from security.strict_input import (
    QuerySerializer,
    StrictCharField,
    StrictModelSerializer,
    StrictSerializer,
)

PROBLEM = "Problem"
#: Refusals that any operation may answer with, and those of some.
ALWAYS = {
    "400": "The request does not match the schema.",
    "401": "No access token, or one that cannot be used.",
    "403": "The token's scope or the caller's role does not permit it.",
    "406": "application/json is not acceptable to the caller.",
    "414": "Path and query are too long.",
    "429": "A rate limit is used up.",
    "431": "The headers are too long.",
    "500": "Something unforeseen. The operators' log has it under the request id.",
    "503": "A dependency is out of reach.",
}
OBJECT = {"404": "There is no such object, or the caller may not see it."}
WRITE = {
    "408": "The body did not come in time.",
    "409": "The object's state, or a unique value, does not permit it.",
    "411": "There is a body, and no Content-Length.",
    "413": "The body is too large.",
    "415": "The body is not application/json in UTF-8.",
}
IF_MATCH = {
    "412": "The object is not at the version that If-Match names.",
    "428": "If-Match is missing, or names no version.",
}
IDEMPOTENT = {
    "409": f"{WRITE['409']} Or the first request with the Idempotency-Key is still running.",
    "422": "The Idempotency-Key was used for another request.",
}
UUID_SCHEMA: dict[str, Any] = {
    "type": "string",
    "format": "uuid",
    "minLength": 36,
    "maxLength": 36,
    "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
}
#: Formats that are of one length, or of at most one.
LENGTHS = {"date": 10, "date-time": 32, "uri": 2048}
#: What security.strict_input refuses in any string, as far as a character class can say it.
REFUSED = (
    r"\u0000-\u001F\u007F-\u009F\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180E\u200B\u200E\u200F"
    r"\u2028-\u202E\u2060-\u206F\u3164\uFEFF\uFFA0"
)
#: Text without them, which neither begins nor ends with white space.
VISIBLE = rf"[^\s{REFUSED}](?:[^{REFUSED}]*[^\s{REFUSED}])?"
#: Any text that PostgreSQL can hold: what may have been stored before, or comes from elsewhere.
ANY_TEXT = r"^[^\u0000]*$"
INT32 = 2**31 - 1
SECURITY_SCHEME = "oauth2"
#: Tried in turn for a property without an example of its own (``examples`` of its serializer).
SAMPLES = ("Example", "EX", "1")
SAMPLES_OF_FORMAT = {
    "date": "2026-11-25",
    "date-time": "2026-11-25T09:30:00Z",
    "email": "somebody@example.com",
    "uri": "https://example.com/",
    "uuid": "01a20b51-1e4c-77a9-81e6-aaeaf2d023ae",
}


def security_scheme() -> dict[str, Any]:
    """What the operations' scopes belong to."""
    endpoints = {"tokenUrl": "/oauth/token", "scopes": all_scopes()}
    return {
        "type": "oauth2",
        "description": "OAuth 2.0 (RFC 6749, RFC 9700). Access tokens are opaque, live for five minutes "
        "and act for one organisation. PKCE with S256 is required. Tokens asked for with a DPoP proof "
        "(RFC 9449) are bound to its key, and are sent with the scheme DPoP. No token is a JWT; those that "
        "clients send (proofs, assertions) are judged by RFC8725.",
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
        words = route if route[-1].replace("-", "_") == self.action else [*route, self.action]
        return "_".join(words).replace("-", "_")

    def get_summary(self) -> str:
        route = [part for part in self.path.split("/")[2:] if not part.startswith("{")]
        names = route[:-1] if route[-1] == self.action else route
        return f"{' '.join(names)}: {self.action}".replace("-", " ").replace("_", " ").capitalize()

    def get_description(self) -> str:  # type: ignore[override]  # as the library's own
        """The handler's docstring, else the view's; that of the gate's own handlers is for developers."""
        own = getattr(type(self.view), self.action, None)
        if own is not None and own is not getattr(PolicyViewSet, self.action, None) and own.__doc__:
            return str(own.__doc__).strip()
        return str(type(self.view).__doc__ or "").strip()

    def _is_list_view(self, serializer: Any = None) -> bool:
        """No answer is an array: a list's is the page, described below."""
        return False

    def get_auth(self) -> list[dict[str, Any]]:
        return [{SECURITY_SCHEME: [scope]} for scope in self.rule.scopes]

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> dict[str, Any]:
        """Beside each field that is not for everybody: for whom it is (security.field_access)."""
        schema: dict[str, Any] = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]  # the library's
        examples = getattr(serializer, "examples", {})
        for name in examples.keys() & schema.get("properties", {}).keys():
            schema["properties"][name]["examples"] = [examples[name]]
        rules = field_rules(serializer)
        for name in rules.keys() & schema.get("properties", {}).keys():
            described = rules[name].describe()
            words = "; ".join(f"{part}: {', '.join(values)}" for part, values in described.items())
            field = schema["properties"][name]
            field["description"] = " ".join([*filter(None, [field.get("description")]), f"Only for {words}."])
            field["x-only-for"] = described
        if direction == "response" and "required" in schema:
            absent = rules.keys() | set(getattr(serializer, "shown_once", ()))
            schema["required"] = [name for name in schema["required"] if name not in absent]
        return schema

    def _insert_field_validators(self, field: Any, schema: dict[str, Any]) -> None:
        """What the library leaves open: a read field lost its column's bounds, a strict one has others."""
        super()._insert_field_validators(field, schema)  # type: ignore[no-untyped-call]  # the library's
        for part in (schema, *schema.get("oneOf", ())):
            _bound(part, field)

    def is_deprecated(self) -> bool:
        return self.rule.deprecated is not None

    def get_tags(self) -> list[str]:
        return [self.path.split("/")[2]]

    def get_request_serializer(self) -> Any:
        request = self.rule.request
        return None if request is NoBody else request

    def map_parsers(self) -> list[str]:
        types = [StrictJSONParser.media_type]
        return [*types, MergePatchParser.media_type] if self.method == "PATCH" else types

    def get_filter_backends(self) -> list[Any]:
        return []

    def get_override_parameters(self) -> list[Any]:
        parameters: list[Any] = [self.rule.query] if self.rule.query is not None else []
        if "{id}" in self.path:
            parameters.append(
                OpenApiParameter("id", UUID_SCHEMA, OpenApiParameter.PATH, description="Public id.")
            )
        if self.rule.idempotent:
            parameters.append(
                _required_header(
                    idempotency.HEADER,
                    {"type": "string", "pattern": idempotency.PATTERN, "minLength": 1, "maxLength": 130},
                    "One for each operation that is meant to be done once, such as a UUID. The same request "
                    "with the same key gets the answer of the first.",
                )
            )
        if self.rule.if_match:
            parameters.append(
                _required_header(
                    preconditions.HEADER,
                    {"type": "string", "pattern": preconditions.PATTERN, "minLength": 3, "maxLength": 12},
                    "The ETag of the version that the caller has seen.",
                )
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
        if self.rule.if_match:
            refusals |= IF_MATCH
        elif self.method != "GET":
            refusals |= {"412": "If-Match was sent, and the operation has no version to compare it with."}
        if self.rule.idempotent:
            refusals |= IDEMPOTENT
        deprecated = self.rule.deprecated
        if deprecated is not None and deprecated.sunset is not None:
            refusals |= {"410": f"The operation has ended, on {deprecated.sunset:%Y-%m-%d}."}
        for code, description in refusals.items():
            operation["responses"][code] = {
                "description": description,
                "content": {
                    "application/problem+json": {"schema": {"$ref": f"#/components/schemas/{PROBLEM}"}}
                },
            }
        if self.rule.step_up is not None:
            operation["responses"]["401"]["description"] += f" {_in_words(self.rule.step_up)}"
        for code, response in operation["responses"].items():
            response["headers"] = _headers_of(code)
            if deprecated is not None and code < "500":
                response["headers"] |= {name: DATED[name] for name in deprecated.headers()}
            response["description"] = response["description"] or "Done."
            if code == str(self.rule.status) and self._is_versioned:
                response["headers"]["ETag"] = {"$ref": "#/components/headers/ETag"}
        operation["responses"] = dict(sorted(operation["responses"].items()))
        return operation

    @property
    def _is_versioned(self) -> bool:
        """Whether a success shows one object that has a version."""
        model = getattr(getattr(self.rule.response, "Meta", None), "model", None)
        names = {field.name for field in model._meta.fields} if model is not None else set()
        return self.action != "list" and preconditions.VERSION in names


def _required_header(name: str, schema: dict[str, Any], description: str) -> OpenApiParameter:
    return OpenApiParameter(name, schema, OpenApiParameter.HEADER, required=True, description=description)


def _in_words(step_up: StepUp) -> str:
    asked = " and ".join(f"{name}={value}" for name, value in step_up.parameters.items())
    return f"Or the person has to authenticate anew: insufficient_user_authentication, {asked} (RFC 9470)."


def _headers_of(code: str) -> dict[str, dict[str, str]]:
    """The headers of the answers of one status."""
    named = {"X-Request-ID": "RequestID"}
    if code < "500":
        kind = "IfAny" if code in UNCOUNTED else ""
        named |= {"RateLimit": f"RateLimit{kind}", "RateLimit-Policy": f"RateLimitPolicy{kind}"}
    if code in {"429", "503"}:
        named["Retry-After"] = "RetryAfter"
    if code in CHALLENGED:
        named["WWW-Authenticate"] = CHALLENGED[code]
    return {name: {"$ref": f"#/components/headers/{component}"} for name, component in named.items()}


def _bound(schema: dict[str, Any], field: Any) -> None:
    """Complete the bounds of a field's schema from its format, its strictness and its column."""
    kinds = schema.get("type")
    kind = next((each for each in kinds if each != "null"), None) if isinstance(kinds, list) else kinds
    column = _column(field)
    if kind == "string" and "enum" not in schema:
        _bound_string(schema, field, column)
    elif kind == "integer":
        if isinstance(column, models.PositiveIntegerField):
            schema.setdefault("minimum", 0)
        if isinstance(column, models.IntegerField) and not isinstance(column, models.BigIntegerField):
            schema.setdefault("maximum", INT32)
            schema.setdefault("minimum", -INT32 - 1)
        if "maximum" in schema:
            schema["format"] = "int32" if schema["maximum"] <= INT32 else "int64"


def _bound_string(schema: dict[str, Any], field: Any, column: Any) -> None:
    text_format = schema.get("format")
    if text_format == "uuid":
        schema |= {name: value for name, value in UUID_SCHEMA.items() if name != "type"}
        return
    if text_format in LENGTHS:
        schema.setdefault("maxLength", LENGTHS[text_format])
        return
    length = getattr(column, "max_length", None)
    if length is not None:
        schema.setdefault("maxLength", length)
    if "pattern" in schema or text_format is not None or schema.get("maxLength") == 0:
        return
    if not isinstance(field, StrictCharField) or isinstance(field.parent, ReadSerializer):
        schema["pattern"] = ANY_TEXT  # of a column, whatever a writer would refuse today: it may be blank
    else:
        # Tabs and line breaks inside, where a field has several lines.
        controls = r"\u0000-\u0008\u000B-\u001F" if field.allowed else r"\u0000-\u001F"
        visible = VISIBLE.replace(r"\u0000-\u001F", controls)
        schema["pattern"] = f"^(?:{visible})?$" if field.allow_blank else f"^{visible}$"
        if not field.allow_blank:
            schema.setdefault("minLength", 1)


def _column(field: Any) -> Any:
    """The model's field that a serializer's field shows, or None."""
    model = getattr(getattr(getattr(field, "parent", None), "Meta", None), "model", None)
    found = None
    for name in str(getattr(field, "source", None) or "").split("."):
        if model is None:
            return None
        try:
            found = model._meta.get_field(name)
        except FieldDoesNotExist:
            return None
        model = found.related_model
    return found


def _text(length: int, pattern: str = ANY_TEXT) -> dict[str, Any]:
    return {"type": "string", "maxLength": length, "pattern": pattern}


ECHO = "What is long is cut, controls are replaced."
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri", "maxLength": 512},
        "title": _text(128),
        "status": {"type": "integer", "format": "int32", "minimum": 400, "maximum": 599},
        "detail": _text(512),
        "instance": {"type": "string", "pattern": "^urn:uuid:[0-9a-f-]{36}$", "maxLength": 45},
        "errors": {
            "type": "array",
            "maxItems": 100,
            "items": {
                "type": "object",
                "required": ["code", "detail"],
                "properties": {
                    "pointer": {
                        **_text(1024),
                        "description": f"JSON Pointer into the body, RFC 6901. {ECHO}",
                    },
                    "parameter": {
                        **_text(256),
                        "description": f"Name of the query parameter. {ECHO}",
                    },
                    "code": _text(64, "^[a-z0-9-]*$"),
                    "detail": _text(512),
                },
            },
        },
        "status_of_object": _text(32, "^[a-z_]+$"),
        "violated-policies": {"type": "array", "maxItems": 8, "items": _text(64, "^[a-z_]+$")},
    },
    "examples": [
        {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": "There is no such object, or you may not see it.",
            "instance": "urn:uuid:01a20b6e-ae81-751c-bb01-147804a2c625",
        }
    ],
}

#: Values of structured fields, challenges and seconds are ASCII.
ASCII = "^[ -~]*$"
CHALLENGE = "What to present instead: RFC 6750 section 3, RFC 9449 section 7.1, RFC 9470 section 3."
#: Of an operation that is deprecated.
DATED: dict[str, Any] = {
    "Deprecation": {
        "required": True,
        "description": "Since when it should not be used any more, in Unix seconds. RFC 9745.",
        "schema": _text(32, "^@-?[0-9]+$"),
    },
    "Sunset": {
        "required": True,
        "description": "From when on it is not there any more. RFC 8594.",
        "schema": _text(29, ASCII),
    },
}
CHALLENGED = {"400": "ChallengeIfAny", "401": "Challenge", "403": "ChallengeIfAny"}
#: What may be refused for its form, before anything is counted.
UNCOUNTED = frozenset({"400", "411", "414", "431"})
LEFT = "What is left of each policy: r requests now, full again in t seconds."
POLICIES = "Each policy: q requests in w seconds."
HEADERS: dict[str, Any] = {
    "ETag": {
        "required": True,
        "description": "The version of the object, for If-Match.",
        "schema": {"type": "string", "pattern": preconditions.PATTERN, "minLength": 3, "maxLength": 12},
    },
    "RateLimit": {"required": True, "description": LEFT, "schema": _text(256, ASCII)},
    "RateLimitIfAny": {"description": LEFT, "schema": _text(256, ASCII)},
    "RateLimitPolicy": {"required": True, "description": POLICIES, "schema": _text(256, ASCII)},
    "RateLimitPolicyIfAny": {"description": POLICIES, "schema": _text(256, ASCII)},
    "RetryAfter": {
        "required": True,
        "description": "Seconds until a request fits again.",
        "schema": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 86_400},
    },
    "Challenge": {"required": True, "description": CHALLENGE, "schema": _text(1024, ASCII)},
    "ChallengeIfAny": {"description": CHALLENGE, "schema": _text(1024, ASCII)},
    "RequestID": {"required": True, "description": "The request's id.", "schema": UUID_SCHEMA},
}


def complete(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """drf-spectacular postprocessing: the shared components, every object closed, an example of each."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})[PROBLEM] = PROBLEM_SCHEMA
    components["securitySchemes"] = {SECURITY_SCHEME: security_scheme()}
    referenced = str(result["paths"])
    components["headers"] = {
        name: header for name, header in HEADERS.items() if f"#/components/headers/{name}'" in referenced
    }
    components["schemas"] = dict(sorted(components["schemas"].items()))
    result["servers"] = [
        {
            "url": "/",
            "description": "Whatever serves this document: production, or a test.",
            "x-internal": False,
        }
    ]
    result["tags"] = [{"name": name, "description": words} for name, words in sorted(_tags().items())]
    _close(result)
    for schema in components["schemas"].values():
        if schema.get("type") == "object" and "examples" not in schema:
            schema["examples"] = [example(schema, components["schemas"])]
    return result


def _tags() -> dict[str, str]:
    """Each first segment of a route, and what the first view below it says of itself."""
    found: dict[str, str] = {}
    for route, view in walk_routes():
        if hasattr(view, "actions"):
            found.setdefault(route.split("/")[1], (view.cls.__doc__ or "").strip().partition("\n")[0])  # type: ignore[attr-defined]  # set by ViewSetMixin.as_view
    return found


def example(schema: dict[str, Any], components: dict[str, Any]) -> Any:
    """A value that ``schema`` admits, as far as can be told; the test of the document tells of the rest."""
    if "$ref" in schema:
        return example(components[schema["$ref"].rpartition("/")[2]], components)
    for chosen in ("examples", "enum"):
        if chosen in schema:
            return schema[chosen][0]
    for joined in ("allOf", "oneOf", "anyOf"):
        if joined in schema:
            return example(schema[joined][0], components)
    kinds = schema.get("type")
    kind = kinds[0] if isinstance(kinds, list) else kinds
    if kind == "object":
        return {name: example(part, components) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema["items"], components)]
    if kind == "integer":
        return max(1, schema.get("minimum", 1))
    return _example_of_text(schema) if kind == "string" else {"boolean": True}.get(str(kind))


def _example_of_text(schema: dict[str, Any]) -> str:
    if schema.get("format") in SAMPLES_OF_FORMAT:
        return SAMPLES_OF_FORMAT[schema["format"]]
    fitting = (
        sample
        for sample in SAMPLES
        if schema.get("minLength", 0) <= len(sample) <= schema.get("maxLength", len(sample))
        and re.search(schema.get("pattern", ""), sample)
    )
    return next(fitting, "")


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
    ours = [
        PolicyViewSet,
        QuerySerializer,
        PageQuery,
        ReadSerializer,
        StrictModelSerializer,
        StrictSerializer,
    ]
    return [*get_lib_doc_excludes(), *ours]  # type: ignore[no-untyped-call]  # the library's
