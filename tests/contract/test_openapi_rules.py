"""`make check` lints openapi.yaml by OWASP's rules: a looser document is refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contract.compatibility import load
from deploy.local.postgres import ROOT

HAS_NODE = shutil.which("node") is not None and shutil.which("npm") is not None
NEEDS_NODE = pytest.mark.skipif(  # the linters run in Node; the gate fails without it
    not HAS_NODE and os.environ.get("REQUIRE_NODE") != "1",
    reason="there is no Node here; the gate sets REQUIRE_NODE",
)


def number_ids(document):
    document["paths"]["/v1/members/{id}"]["get"]["parameters"][0]["schema"] = {"type": "integer"}


def open_schema(document):
    del document["components"]["schemas"]["Problem"]["properties"]["title"]["maxLength"]


def forget_limits(document):
    del document["paths"]["/v1/me"]["get"]["responses"]["429"]


def serve_plainly(document):
    document["servers"][0]["url"] = "http://api.example"


def forget_refresh(document):
    del document["components"]["securitySchemes"]["oauth2"]["flows"]["authorizationCode"]["refreshUrl"]


def lose_a_component(document):
    document["components"]["schemas"]["Forgotten"] = document["components"]["schemas"]["Problem"]


PLANTED = {
    number_ids: "owasp:api1:2023-no-numeric-ids",
    open_schema: "owasp:api4:2023-string-limit",
    forget_limits: "owasp:api4:2023-rate-limit-responses-429",
    serve_plainly: "owasp:api8:2023-no-server-http",
    forget_refresh: "owasp:api2:2023-short-lived-access-tokens",
    lose_a_component: "no-unused-components",
}


def lint(openapi, **environment):
    command = ["make", "check-rules", f"VENV={Path(sys.prefix)}", f"OPENAPI={openapi}"]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@NEEDS_NODE
def test_a_looser_document_is_refused(tmp_path):
    document = load(ROOT / "openapi.yaml")
    for plant in PLANTED:
        plant(document)
    (tmp_path / "openapi.yaml").write_text(json.dumps(document))

    done = lint(tmp_path / "openapi.yaml")

    assert done.returncode != 0
    for rule in PLANTED.values():
        assert rule in done.stdout + done.stderr


@NEEDS_NODE
def test_two_that_find_no_linters_install_them_once_and_lint_their_own_documents(tmp_path):
    (tmp_path / "loose.yaml").write_text("openapi: 3.1.0\n")
    program = (
        "import pathlib, sys\nfrom contract import rules\n"
        f"rules.LINTERS = pathlib.Path({str(tmp_path / 'linters')!r})\nsys.exit(rules.main())"
    )

    both = [
        subprocess.Popen(
            [sys.executable, "-c", program, document], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for document in ("openapi.yaml", str(tmp_path / "loose.yaml"))
    ]
    (kept, _), (loose, _) = (each.communicate(timeout=300) for each in both)

    assert both[0].returncode == 0, kept
    assert both[1].returncode != 0
    assert "Not run" not in kept + loose


@pytest.mark.parametrize("required", ["", "1"])
def test_without_node_it_is_not_run_and_the_gate_requires_it(tmp_path, required):
    for tool in ("bash", "make", "sh"):
        (tmp_path / tool).symlink_to(shutil.which(tool))

    done = lint("openapi.yaml", PATH=str(tmp_path), REQUIRE_NODE=required)

    assert "Not run: there is no Node here." in done.stdout
    assert (done.returncode == 0) is (required == "")


def test_no_registry_is_named():
    for file in (ROOT / "contract" / "lint").iterdir():
        text = file.read_text()
        assert '"resolved"' not in text
        assert "://" not in text
