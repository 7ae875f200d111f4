"""``python -m contract.compatibility``: would a client of the released document break on this one?

Compares openapi.yaml with contract/released/openapi.yaml. What a client may send must still be taken: a
parameter, field, enum value or media type that is gone, a new requirement, a narrower type or bound, another
scope. What a client gets must still be what it knows: a field, success status or header that is gone, a wider
type or bound, a new enum value. A new field in an answer breaks nobody: clients ignore what they do not know.

A break is refused unless the version has moved: the first number, or the second of a 0.x. With ``--release``
openapi.yaml becomes the released document. No kept library does this for OpenAPI 3.1 in Python or Node.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "openapi.yaml"
RELEASED = ROOT / "contract" / "released" / "openapi.yaml"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
#: keyword → whether a greater value admits more.
BOUNDS = {
    "maximum": True,
    "exclusiveMaximum": True,
    "maxLength": True,
    "maxItems": True,
    "maxProperties": True,
    "minimum": False,
    "exclusiveMinimum": False,
    "minLength": False,
    "minItems": False,
    "minProperties": False,
}
SAME = ("format", "pattern", "multipleOf", "uniqueItems")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m contract.compatibility")
    parser.add_argument("--release", action="store_true", help="keep openapi.yaml as the released document")
    parser.add_argument("--released", type=Path, default=RELEASED)
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    if arguments.release:
        arguments.released.parent.mkdir(parents=True, exist_ok=True)
        arguments.released.write_bytes(arguments.document.read_bytes())
        return 0
    if not arguments.released.exists():
        sys.stderr.write(f"There is no {arguments.released}: run make release-openapi.\n")
        return 1
    old, new = load(arguments.released), load(arguments.document)
    found = list(breaks(old, new))
    if not found or has_moved(old["info"]["version"], new["info"]["version"]):
        return 0
    lines = [f"  {each}" for each in found]
    sys.stderr.write(
        f"Clients of the released document (version {old['info']['version']}) would break:\n"
        + "\n".join(lines)
        + "\nTake it back, or move VERSION of SPECTACULAR_SETTINGS; make release-openapi once it is out.\n"
    )
    return 1


def has_moved(old: str, new: str) -> bool:
    """Whether ``new`` may break clients of ``old``: https://semver.org, items 4 and 8."""
    before, after = ([int(part) for part in version.split(".")[:2]] for version in (old, new))
    return after[0] > before[0] or (after[0] == before[0] == 0 and after[1] > before[1])


def breaks(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Each thing that a client of ``old`` would trip over, in words."""
    for path, item in old["paths"].items():
        for method in METHODS:
            if method not in item:
                continue
            name = f"{method.upper()} {path}"
            now = new["paths"].get(path, {}).get(method)
            if now is None:
                yield f"{name}: the operation is gone"
            else:
                yield from _of_operation(name, _Side(old, item[method]), _Side(new, now))


class _Side:
    """One operation within its document."""

    def __init__(self, document: dict[str, Any], operation: dict[str, Any]) -> None:
        self.document = document
        self.operation = operation

    def whole(self, node: Any) -> Any:
        """``node``, or what its reference leads to; the parts of an ``allOf`` made one."""
        while isinstance(node, dict) and "$ref" in node:
            found: Any = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = {**found, **{key: value for key, value in node.items() if key != "$ref"}}
        if isinstance(node, dict) and "allOf" in node:
            merged = {key: value for key, value in node.items() if key != "allOf"}
            for part in node["allOf"]:
                merged = {**self.whole(part), **merged}
            return merged
        return node

    @property
    def parameters(self) -> dict[tuple[str, str], dict[str, Any]]:
        found = [self.whole(each) for each in self.operation.get("parameters", [])]
        return {(each["in"], each["name"]): each for each in found}

    @property
    def body(self) -> dict[str, Any]:
        return self.whole(self.operation.get("requestBody", {}))  # type: ignore[no-any-return]  # parsed YAML

    @property
    def responses(self) -> dict[str, dict[str, Any]]:
        return {code: self.whole(each) for code, each in self.operation["responses"].items()}

    @property
    def security(self) -> list[set[tuple[str, str]]]:
        """The alternatives, each the scheme and scope pairs that it asks for."""
        return [
            {(scheme, scope) for scheme, scopes in way.items() for scope in scopes or [""]}
            for way in self.operation.get("security", [])
        ]


def _of_operation(name: str, old: _Side, new: _Side) -> Iterator[str]:
    for way in old.security:
        if not any(now <= way for now in new.security):
            asked = " ".join(sorted(scope for _, scope in way))
            yield f"{name}: a token with {asked} does not suffice any more"
    yield from _of_parameters(name, old, new)
    yield from _of_body(name, old, new)
    for code, response in old.responses.items():
        now = new.responses.get(code)
        if now is None:
            if code < "400":
                yield f"{name}: status {code} is gone"
            continue
        for media_type, content in response.get("content", {}).items():
            if media_type not in now.get("content", {}):
                yield f"{name}: {code} is not {media_type} any more"
                continue
            schemas = content["schema"], now["content"][media_type]["schema"]
            yield from _answered(f"{name}: {code}", schemas, old, new)
        for header, described in response.get("headers", {}).items():
            still = header in now.get("headers", {}) and new.whole(now["headers"][header]).get("required")
            if old.whole(described).get("required") and not still:
                yield f"{name}: {code} does not always have {header} any more"


def _of_parameters(name: str, old: _Side, new: _Side) -> Iterator[str]:
    for key, parameter in old.parameters.items():
        where = f"{name}: {key[0]} parameter {key[1]}"
        now = new.parameters.get(key)
        if now is None:
            yield f"{where} is gone"
            continue
        if now.get("required") and not parameter.get("required"):
            yield f"{where} is required now"
        yield from _beyond(where, (now["schema"], new), (parameter["schema"], old))
    for key in new.parameters.keys() - old.parameters.keys():
        if new.parameters[key].get("required"):
            yield f"{name}: {key[0]} parameter {key[1]} is new and required"


def _of_body(name: str, old: _Side, new: _Side) -> Iterator[str]:
    if new.body.get("required") and not old.body.get("required"):
        yield f"{name}: the body is required now"
    for media_type, content in old.body.get("content", {}).items():
        now = new.body.get("content", {}).get(media_type)
        if now is None:
            yield f"{name}: a body of {media_type} is not taken any more"
        else:
            yield from _beyond(f"{name}: body", (now["schema"], new), (content["schema"], old))


def _answered(where: str, schemas: tuple[Any, Any], old: _Side, new: _Side) -> Iterator[str]:
    """What a client gets now: within what it knew, new fields aside, and no field gone."""
    yield from _beyond(where, (schemas[0], old), (schemas[1], new), answer=True)


def _beyond(
    where: str, wide: tuple[Any, _Side], narrow: tuple[Any, _Side], *, answer: bool = False
) -> Iterator[str]:
    """Why some value of ``narrow`` may not be one of ``wide``. For an ``answer``, fields as told above."""
    outer, inner = wide[1].whole(wide[0]), narrow[1].whole(narrow[0])
    if "oneOf" in outer or "anyOf" in outer or "oneOf" in inner or "anyOf" in inner:
        for part in _alternatives(inner):
            if not any(
                next(_beyond(where, (way, wide[1]), (part, narrow[1]), answer=answer), None) is None
                for way in _alternatives(outer)
            ):
                yield f"{where}: an alternative is not among those of before"
        return
    types = _types(inner) - _types(outer)
    if _types(outer) and (types or not _types(inner)):
        yield f"{where}: the type is another ({', '.join(sorted(types)) or 'any'})"
        return
    allowed = outer.get("enum", [outer["const"]] if "const" in outer else None)
    if allowed is not None:
        given = inner.get("enum", [inner["const"]] if "const" in inner else None)
        missing = None if given is None else [each for each in given if each not in allowed]
        if missing is None or missing:
            said = "is new" if answer else "is not taken any more"
            yield f"{where}: the value {', '.join(map(str, missing or ['any']))} {said}"
    for bound, greater_is_wider in BOUNDS.items():
        if bound in outer:
            given = inner.get(bound)
            if given is None or (given > outer[bound] if greater_is_wider else given < outer[bound]):
                yield f"{where}: {bound} is another ({given} and {outer[bound]})"
    for keyword in SAME:
        if keyword in outer and outer[keyword] != inner.get(keyword):
            yield f"{where}: {keyword} is another"
    if "items" in outer:
        yield from _beyond(
            f"{where}[]", (outer["items"], wide[1]), (inner.get("items", {}), narrow[1]), answer=answer
        )
    yield from _of_fields(where, (outer, wide[1]), (inner, narrow[1]), answer=answer)


def _of_fields(
    where: str, wide: tuple[Any, _Side], narrow: tuple[Any, _Side], *, answer: bool
) -> Iterator[str]:
    (outer, outside), (inner, inside) = wide, narrow
    fields, given = outer.get("properties", {}), inner.get("properties", {})
    for name in sorted(set(outer.get("required", [])) - set(inner.get("required", []))):
        if name in given or not answer:
            yield f"{where}.{name}: {'is not always there any more' if answer else 'is required now'}"
    for name, schema in given.items():
        rest = outer.get("additionalProperties", True)
        if name in fields:
            yield from _beyond(f"{where}.{name}", (fields[name], outside), (schema, inside), answer=answer)
        elif rest is False and not answer:
            yield f"{where}.{name}: is not taken any more"
        elif isinstance(rest, dict):
            yield from _beyond(f"{where}.{name}", (rest, outside), (schema, inside), answer=answer)
    if answer:
        for name in sorted(fields.keys() - given.keys()):
            yield f"{where}.{name}: is gone"
    rest, more = outer.get("additionalProperties", True), inner.get("additionalProperties", True)
    if isinstance(rest, dict) and isinstance(more, dict):
        yield from _beyond(f"{where}.*", (rest, outside), (more, inside), answer=answer)
    elif (
        rest is False
        and more is not False
        and not answer
        and ("properties" in inner or "properties" in outer)
    ):
        yield f"{where}: further fields are not taken any more"


def _types(schema: dict[str, Any]) -> set[str]:
    kinds = schema.get("type", [])
    found = set(kinds if isinstance(kinds, list) else [kinds])
    return found | {"integer"} if "number" in found else found


def _alternatives(schema: dict[str, Any]) -> list[Any]:
    for joined in ("oneOf", "anyOf"):
        if joined in schema:
            rest = {key: value for key, value in schema.items() if key != joined}
            return [{**rest, **part} for part in schema[joined]]
    return [schema]


def load(file: Path) -> dict[str, Any]:
    """A document, ten times as fast as ``yaml.safe_load``."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(file.read_text(), loader)  # type: ignore[no-any-return]  # noqa: S506  a safe loader


if __name__ == "__main__":
    sys.exit(main())
