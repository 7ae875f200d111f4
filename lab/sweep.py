"""The sweep: each control is made a no-op in a copy of the source, and some scenario has to turn red there.

The lab's own patches show that an attack works without a layer; this shows that the lab would notice if a
change to the product took the layer away.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.local.postgres import ROOT
from lab.scenario import Scenario

#: The exit status of the lab when a play did not end as it must. Python's own of a crash is 1.
RED_PLAYS = 3
KEPT_OUT = shutil.ignore_patterns(".git", ".venv", ".run", "__pycache__", ".*_cache", "staticfiles")
#: Root's server of the copy is outside it.
CLEAN = """
import shutil
from deploy.local.postgres import state_directory
shutil.rmtree(state_directory(), ignore_errors=True)
"""


@dataclass(frozen=True, slots=True)
class Edit:
    file: str
    old: str
    new: str


#: layer → the edits that make its control a no-op.
NO_OPS: dict[str, tuple[Edit, ...]] = {
    "scoping": (
        Edit(
            "security/object_permissions.py",
            "return queryset.filter(**{self.lookup: access.organisation_id})",
            "return queryset",
        ),
        Edit(
            "security/object_permissions.py", "if access.role == CONTACT_ROLE else rows", "if False else rows"
        ),
        Edit("security/object_permissions.py", "if access.role != CONTACT_ROLE:", "if True:"),
    ),
    "row_security": (
        Edit("security/row_security.py", "ENABLE ROW LEVEL SECURITY", "DISABLE ROW LEVEL SECURITY"),
    ),
    "related_scoping": (
        Edit(
            "resources/serializers.py",
            "Vendor.objects.filter(organisation_id=access.organisation_id)",
            "Vendor.objects.all()",
        ),
    ),
    "roles": (
        Edit(
            "security/policy.py",
            "tuple(way for way in scoped if self.access.role in way.roles)",
            "tuple(scoped)",
        ),
    ),
    "scopes": (
        Edit(
            "security/policy.py",
            "[way for way in rule.allow if way.scope in self.access.scopes]",
            "list(rule.allow)",
        ),
    ),
    "field_access": (
        Edit("security/field_access.py", "        if access is None:\n            return False\n", ""),
        Edit("security/field_access.py", "self.roles is None or access.role in self.roles", "True"),
        Edit("security/field_access.py", "self.states is None or instance.status in self.states", "True"),
    ),
    "unknown_fields": (
        Edit(
            "security/strict_input.py",
            "for key in data if key not in declared",
            "for key in data if not declared",
        ),
    ),
    "explicit_fields": (
        Edit(
            "resources/serializers.py",
            '"due_date", "internal_note")',
            '"due_date", "internal_note", "status")',
        ),
        Edit(
            "resources/serializers.py",
            "    amount = StrictIntegerField(",
            "    status = StrictChoiceField(choices=Invoice.Status.choices, required=False)\n"
            "    amount = StrictIntegerField(",
        ),
    ),
    "json_parser": (
        Edit("security/json_parser.py", 'raise MalformedBody("A key occurs twice in one object.")', "pass"),
    ),
    "throttling": (
        Edit(
            "security/throttling.py",
            "if charged[i] > interval * quota then refused = refused + 1 end",
            "",
        ),
    ),
    "client_ip": (Edit("security/client_ip.py", "if networks and _is_trusted(peer, networks):", "if True:"),),
    "errors": (
        Edit(
            "security/errors.py",
            'detail="Something went wrong. Give the instance to the operators: their log has the rest."',
            'detail=__import__("traceback").format_exc()',
        ),
    ),
    "transport": (Edit("security/transport.py", "request.get_host()  #", "pass  #"),),
    "csrf": (Edit("config/settings/__init__.py", '    "django.middleware.csrf.CsrfViewMiddleware",\n', ""),),
    "session_keys": (
        Edit("accounts/sign_in.py", "    request.session.cycle_key()\n", ""),
        Edit(
            "accounts/sessions.py",
            "    def create(self) -> None:",
            "    def cycle_key(self) -> None:\n        pass\n\n    def create(self) -> None:",
        ),
    ),
    "spent_codes": (
        Edit("accounts/second_factor.py", 'row.data.get("last_step", 0) >= current_step()', "False"),
    ),
    "session_digests": (
        Edit(
            "accounts/sessions.py",
            'return hashlib.sha256((session_key or "").encode()).hexdigest()',
            'return session_key or ""',
        ),
    ),
    "known_devices": (
        Edit("accounts/devices.py", 'return device if _fingerprint(account) in people else ""', 'return ""'),
    ),
    "code_replay": (
        Edit("accounts/oauth/validators.py", "if grant.consumed_at is not None:", "if False:"),
        Edit("accounts/oauth/validators.py", "if not spent:", "if False:"),
    ),
    "token_scheme": (
        Edit("accounts/oauth/authentication.py", " or bool(row[11]) != is_scheme(header):", ":"),
    ),
    "proof_of_possession": (Edit("accounts/oauth/authentication.py", "if not jkt:", "if True:"),),
    "key_binding": (Edit("accounts/oauth/dpop.py", "return compare_digest(self.jkt, jkt)", "return True"),),
    "proof_replay": (Edit("security/throttling.py", "then replayed = replayed + 1 end", "then end"),),
    "challenge_of_request": (
        Edit(
            "accounts/oauth/authorization_requests.py",
            'if parameters.get("code_challenge_method") != "S256" or not',
            "if not",
        ),
    ),
    "challenge_of_code": (
        Edit("accounts/oauth/validators.py", 'if request.code_challenge_method != "S256" or not', "if not"),
    ),
    "redirect_uris": (
        Edit("accounts/oauth/models.py", "return uri in self.redirect_uris.split()", "return True"),
    ),
    "administrators": (Edit("accounts/members.py", "if access.user_id not in administrators:", "if False:"),),
    "own_membership": (Edit("accounts/members.py", "if membership.user_id == access.user_id:", "if False:"),),
    "invited_address": (Edit("accounts/invitations.py", " and request.user.pk == account.pk", ""),),
    "inviting_right": (
        Edit("accounts/models.py", "self.filter(Exists(sender), accepted_at", "self.filter(accepted_at"),
    ),
    "token_revocation": (Edit("accounts/oauth/revocation.py", "@receiver(membership_removed)\n", ""),),
}

#: Layers whose code is not ours to edit, and whose it is.
NOT_OURS = {
    "refresh_rotation": "django-oauth-toolkit rotates refresh tokens, and a check ends start-up without it",
    "refresh_scope": "oauthlib compares the scopes of a refresh",
    "pending_sign_in": "django-allauth signs in after its last step",
}


def sweep(known: dict[str, Scenario]) -> list[str]:
    """Prints a line for each layer; the names of those whose loss no scenario noticed."""
    unnoticed = []
    used = {layer for scenario in known.values() for layer in scenario.layers}
    with tempfile.TemporaryDirectory(prefix="portcullis-", dir="/tmp") as scratch:
        copy = Path(scratch) / "source"
        shutil.copytree(ROOT, copy, ignore=KEPT_OUT)
        for layer in sorted(used - NOT_OURS.keys()):
            names = [name for name, scenario in known.items() if layer in scenario.layers]
            red = _loss_is_noticed(copy, layer, names)
            print(f"  {layer:<18} made a no-op: {'noticed' if red else 'NOT NOTICED'}", flush=True)
            if not red:
                unnoticed.append(layer)
        subprocess.run([sys.executable, "-c", CLEAN], cwd=copy, check=False)
    return unnoticed


def _loss_is_noticed(copy: Path, layer: str, names: list[str]) -> bool:
    """Whether the lab, run in the edited copy, tells of a play that is not as it must be.

    Only the plays in which the layer stands alone: with its control a no-op, nothing stands.
    """
    edits = NO_OPS[layer]
    originals = {edit.file: (copy / edit.file).read_text() for edit in edits}
    try:
        for edit in edits:
            text = (copy / edit.file).read_text()
            if edit.old not in text:
                raise ValueError(f"{edit.file} has changed: the sweep does not find {edit.old!r}")
            (copy / edit.file).write_text(text.replace(edit.old, edit.new))
        done = subprocess.run(
            [sys.executable, "-m", "lab", "run", *names, "--alone", layer],
            cwd=copy,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in {0, RED_PLAYS}:
            raise ValueError(f"the lab could not be run without {layer}:\n{done.stderr[-2000:]}")
        return done.returncode == RED_PLAYS
    finally:
        for file, text in originals.items():
            (copy / file).write_text(text)
