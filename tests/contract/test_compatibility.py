"""contract.compatibility: what would break a client of the released document is refused."""

import copy
import subprocess
import sys

import pytest
import yaml

from contract.compatibility import RELEASED, breaks, has_moved, load
from deploy.local.postgres import ROOT

DOCUMENT = {
    "info": {"version": "1.2.3"},
    "paths": {
        "/v1/things": {
            "post": {
                "security": [{"oauth2": ["things:write"]}],
                "parameters": [
                    {"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 100}},
                    {"in": "query", "name": "sort", "schema": {"type": "string", "enum": ["a", "b"]}},
                ],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Writer"}}}
                },
                "responses": {
                    "201": {
                        "headers": {"ETag": {"required": True}},
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Reader"}}},
                    },
                    "409": {},
                },
            }
        }
    },
    "components": {
        "schemas": {
            "Writer": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "maxLength": 50, "pattern": "^[a-z]+$"},
                    "kind": {"type": "string", "enum": ["x", "y"]},
                    "tags": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 9}},
                    "note": {"type": ["string", "null"], "maxLength": 9},
                },
            },
            "Reader": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "kind"],
                "properties": {
                    "name": {"type": "string", "maxLength": 50},
                    "kind": {"allOf": [{"$ref": "#/components/schemas/Kind"}], "readOnly": True},
                    "note": {"type": "string"},
                },
            },
            "Kind": {"type": "string", "enum": ["x", "y"]},
        }
    },
}


def operation(document):
    return document["paths"]["/v1/things"]["post"]


def schema(document, name):
    return document["components"]["schemas"][name]


def field(document, name, of="Writer"):
    return schema(document, of)["properties"][name]


def new_header(document):
    header = {"in": "header", "name": "If-Match", "required": True, "schema": {"type": "string"}}
    operation(document)["parameters"].append(header)


BREAKS = {
    "the operation is gone": lambda d: d["paths"]["/v1/things"].clear(),
    "the path is gone": lambda d: d["paths"].clear(),
    "another scope": lambda d: operation(d).update(security=[{"oauth2": ["things:manage"]}]),
    "a further scope": lambda d: operation(d).update(security=[{"oauth2": ["things:write", "more"]}]),
    "a parameter is gone": lambda d: operation(d)["parameters"].pop(0),
    "a new required parameter": new_header,
    "a parameter became required": lambda d: operation(d)["parameters"][0].update(required=True),
    "a smaller maximum": lambda d: operation(d)["parameters"][0]["schema"].update(maximum=50),
    "a minimum": lambda d: operation(d)["parameters"][0]["schema"].update(minimum=1),
    "a choice is gone": lambda d: operation(d)["parameters"][1]["schema"]["enum"].pop(),
    "the body is required": lambda d: operation(d)["requestBody"].update(required=True),
    "another media type": lambda d: operation(d)["requestBody"].update(
        content={"application/x": operation(d)["requestBody"]["content"]["application/json"]}
    ),
    "a field is not taken": lambda d: schema(d, "Writer")["properties"].pop("note"),
    "a new required field": lambda d: (
        schema(d, "Writer")["properties"].update(size={"type": "integer"}),
        schema(d, "Writer")["required"].append("size"),
    ),
    "a field became required": lambda d: schema(d, "Writer")["required"].append("kind"),
    "a shorter text": lambda d: field(d, "name").update(maxLength=49),
    "another pattern": lambda d: field(d, "name").update(pattern="^[a-y]+$"),
    "a new format": lambda d: field(d, "note").update(format="email"),
    "null is not taken": lambda d: field(d, "note").update(type="string"),
    "a type is another": lambda d: field(d, "kind").update(type="integer"),
    "an enum lost a value": lambda d: field(d, "kind")["enum"].pop(),
    "fewer items": lambda d: field(d, "tags").update(maxItems=4),
    "shorter items": lambda d: field(d, "tags")["items"].update(maxLength=8),
    "a success status is gone": lambda d: operation(d)["responses"].pop("201"),
    "the answer's type is gone": lambda d: operation(d)["responses"]["201"]["content"].clear(),
    "a header is gone": lambda d: operation(d)["responses"]["201"]["headers"].clear(),
    "a field of the answer is gone": lambda d: (
        schema(d, "Reader")["properties"].pop("name"),
        schema(d, "Reader")["required"].remove("name"),
    ),
    "an optional field of the answer is gone": lambda d: schema(d, "Reader")["properties"].pop("note"),
    "a field is not always there": lambda d: schema(d, "Reader")["required"].remove("name"),
    "a longer text in the answer": lambda d: field(d, "name", "Reader").update(maxLength=51),
    "null in the answer": lambda d: field(d, "name", "Reader").update(type=["string", "null"]),
    "a new enum value in the answer": lambda d: schema(d, "Kind")["enum"].append("z"),
}
FINE = {
    "nothing": lambda d: None,
    "a new operation": lambda d: d["paths"].update({"/v1/more": d["paths"]["/v1/things"]}),
    "a further way to be allowed": lambda d: operation(d)["security"].append({"oauth2": ["admin"]}),
    "a new optional parameter": lambda d: operation(d)["parameters"].append(
        {"in": "query", "name": "q", "schema": {"type": "string"}}
    ),
    "a greater maximum": lambda d: operation(d)["parameters"][0]["schema"].update(maximum=200),
    "a new optional field": lambda d: schema(d, "Writer")["properties"].update(size={"type": "integer"}),
    "a field became optional": lambda d: schema(d, "Writer")["required"].clear(),
    "a longer text": lambda d: field(d, "name").update(maxLength=51),
    "a new enum value": lambda d: field(d, "kind")["enum"].append("z"),
    "a new refusal": lambda d: operation(d)["responses"].update({"428": {}}),
    "a refusal is gone": lambda d: operation(d)["responses"].pop("409"),
    "a new field in the answer": lambda d: schema(d, "Reader")["properties"].update(size={"type": "integer"}),
    "a shorter text in the answer": lambda d: field(d, "name", "Reader").update(maxLength=49),
    "a field is always there": lambda d: schema(d, "Reader")["required"].append("note"),
}


def changed(change):
    document = copy.deepcopy(DOCUMENT)
    change(document)
    return document


@pytest.mark.parametrize("what", BREAKS)
def test_it_breaks(what):
    assert list(breaks(DOCUMENT, changed(BREAKS[what])))


@pytest.mark.parametrize("what", FINE)
def test_it_breaks_nobody(what):
    assert list(breaks(DOCUMENT, changed(FINE[what]))) == []


def test_a_document_is_compatible_with_itself():
    released = load(RELEASED)

    assert list(breaks(released, released)) == []


@pytest.mark.parametrize(
    ("old", "new", "moved"),
    [
        ("1.2.3", "1.2.3", False),
        ("1.2.3", "1.9.9", False),
        ("1.2.3", "2.0.0", True),
        ("2.0.0", "1.0.0", False),
        ("0.1.0", "0.1.9", False),
        ("0.1.0", "0.2.0", True),
        ("0.9.0", "1.0.0", True),
        ("1.0.0", "0.9.0", False),
    ],
)
def test_how_far_the_version_has_to_move(old, new, moved):
    assert has_moved(old, new) is moved


def run(tmp_path, document):
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(DOCUMENT))
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(document))
    command = [sys.executable, "-m", "contract.compatibility"]
    command += ["--released", str(tmp_path / "old.yaml"), "--document", str(tmp_path / "new.yaml")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_names_what_breaks_and_a_moved_version_permits_it(tmp_path):
    document = changed(BREAKS["a parameter is gone"])

    refused = run(tmp_path, document)
    document["info"]["version"] = "2.0.0"
    permitted = run(tmp_path, document)

    assert refused.returncode == 1
    assert "POST /v1/things: query parameter limit is gone" in refused.stderr
    assert permitted.returncode == 0
