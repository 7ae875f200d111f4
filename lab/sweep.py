"""The sweep: each control is made a no-op in a copy of the source, and some scenario has to turn red there.

The lab's own patches show that an attack works without a layer; this shows that the lab would notice if a
change to the product took the layer away.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: The exit status of the lab when a play did not end as it must. Python's own of a crash is 1.
RED_PLAYS = 3
KEPT_OUT = shutil.ignore_patterns(".git", ".venv", ".run", "__pycache__", ".*_cache", "staticfiles")
#: What migrations call, or what the demo's data was written by: an edit of it takes a new database.
MIGRATED = frozenset({"security/database_roles.py", "security/encryption.py", "security/row_security.py"})


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
    "same_tenant": (
        Edit(
            "resources/migrations/0006_same_tenant.py",
            "IF NEW.vendor_id IS NOT NULL AND",
            "IF FALSE AND NEW.vendor_id IS NOT NULL AND",
        ),
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
    "idempotency": (Edit("security/idempotency.py", "        if known is None:", "        if True:"),),
    # Headers that are too long are not taken in by the bridge either.
    "limits": (
        Edit("security/limits.py", "_target_bytes(environ) > settings.MAX_TARGET_BYTES", "False"),
        Edit("security/limits.py", "_header_bytes(environ) > settings.MAX_HEADER_BYTES", "False"),
    ),
    "judged_replays": (
        Edit(
            "security/policy.py",
            "self.ways = self._permitted_ways(self.rule)",
            "self.ways = self.rule.allow if self.rule.idempotent else self._permitted_ways(self.rule)",
        ),
    ),
    "preconditions": (
        Edit(
            "security/preconditions.py",
            'if request.META["HTTP_IF_MATCH"].strip() != etag(instance):',
            "if False:",
        ),
    ),
    "states": (
        Edit(
            "security/policy.py",
            "if any(way.states is None or instance.status in way.states",
            "if True or any(way.states is None or instance.status in way.states",
        ),
        Edit("resources/models.py", "if self.status not in self.TRANSITIONS[action]:", "if False:"),
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
    "bridge": (
        Edit("security/bridge.py", 'if b"_" in raw_name:', "if False:"),
        Edit("security/bridge.py", '_with_escaped_slashes(scope["raw_path"])', 'scope["raw_path"]'),
    ),
    "request_body": (Edit("security/request_body.py", "STALLED_SECONDS = 1.0", "STALLED_SECONDS = 1000.0"),),
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
        Edit("accounts/oauth/authentication.py", " or bool(row[10]) != is_scheme(header):", ":"),
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
    "inventory": (
        Edit(
            "security/inventory.py",
            'if method != "head" and (method, path) not in documented:',
            "if False:",
        ),
    ),
    "sunset": (
        Edit(
            "security/inventory.py",
            "if self.sunset is not None and type(self).clock() >= self.sunset:",
            "if False:",
        ),
    ),
    "row_binding": (
        Edit(
            "security/encryption.py",
            "json.dumps([key_id, table, column, row])",
            "json.dumps([key_id, table, column])",
        ),
    ),
    "column_binding": (
        Edit(
            "security/encryption.py",
            "json.dumps([key_id, table, column, row])",
            "json.dumps([key_id, table, row])",
        ),
    ),
    "blind_index": (
        Edit(
            "security/encryption.py",
            "json.dumps([column, organisation_id, value])",
            "json.dumps([column, value])",
        ),
    ),
    "masking": (
        Edit(
            "security/masking.py",
            'return f"{MASK} {attrgetter(self.last)(instance)}" if self.last else MASK',
            "return attrgetter(str(self.source))(instance).decrypt()",
        ),
    ),
    "quotas": (Edit("security/quotas.py", "if len(spent) >= rate.quota:", "if False:"),),
    "weak_tokens": (Edit("accounts/oauth/revocation.py", "@receiver(weak_access_ended)\n", ""),),
    "strong_roles": (
        Edit(
            "accounts/oauth/authentication.py",
            "if access.role in roles_requiring_mfa() and access.acr not in STRONG:",
            "if False:",
        ),
    ),
    "sign_in_in_progress": (
        Edit(
            "accounts/sign_in.py",
            'user.get_session_auth_hash(), login.state.get(BEGAN_WITH, "")',
            '"", ""',
        ),
    ),
    "token_revocation": (Edit("accounts/oauth/revocation.py", "@receiver(membership_removed)\n", ""),),
    "audit": (
        Edit(
            "security/audit.py",
            "    fields = [field for field in AuditEvent._meta",
            "    return\n    fields = [field for field in AuditEvent._meta",
        ),
    ),
    "audit_trail": (
        Edit("security/audit_trail.py", 'frozenset({"auditor"})', 'frozenset({"auditor", "org_admin"})'),
    ),
    "availability": (
        Edit("security/availability.py", "        close_dead_connections()\n", ""),
        Edit(
            "security/availability.py",
            "if not isinstance(exception, OperationalError | InterfaceError):",
            "if True:",
        ),
    ),
    "database_roles": (
        Edit(
            "security/database_roles.py",
            'schema_editor.execute(f"REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {service}")',
            "pass",
        ),
        Edit(
            "security/database_roles.py",
            'schema_editor.execute(f"REVOKE {rights} ON {quote(table)} FROM {service}")',
            "pass",
        ),
    ),
    "deny_all": (
        Edit("security/scopes.py", "        return False", "        return request.auth is not None"),
    ),
    "headers": (
        Edit(
            "security/headers.py",
            "        response = self.get_response(request)\n        headers =",
            "        return self.get_response(request)\n        headers =",
        ),
    ),
    "identifiers": (
        Edit("security/identifiers.py", 're.compile(r"[0-9a-f]{8}', 're.compile(r"(?i)[0-9a-f]{8}'),
    ),
    "keyring": (
        Edit("security/keyring.py", "hmac.compare_digest(_mac(key, purpose, message), signature)", "True"),
    ),
    "log_lines": (
        Edit(
            "security/logging.py",
            "structlog.processors.JSONRenderer(serializer=_dumps)",
            'lambda _, __, event: str(event["event"])',
        ),
    ),
    "log_redaction": (Edit("security/logging.py", "event[key] = REDACTED", "pass"),),
    "outbound": (
        Edit("security/outbound.py", " or port not in self.ports", ""),
        Edit("security/outbound.py", " or not all(self.permits(address) for address in addresses)", ""),
    ),
    "page_limits": (Edit("security/page_limits.py", "if not used_up:", "if True:"),),
    "pagination": (Edit("security/pagination.py", "MAX_LIMIT = 100\n", "MAX_LIMIT = 10**9\n"),),
    "routes": (
        Edit(
            "security/routes.py",
            "            patterns.append(path(route, view.as_view(dict(declared)), name=name))",
            "            patterns.append(path(route, view.as_view(dict(declared)), name=name))\n"
            '            patterns.append(path(f"{route}/", view.as_view(dict(declared))))',
        ),
        # The inventory, another control, would end start-up: it knows no such route.
        Edit(
            "security/inventory.py",
            "return list(_check_routes(documented_operations(), internal_routes()))",
            "return []",
        ),
    ),
    "serializers": (
        Edit(
            "security/serializers.py",
            "for name, field in cls().fields.items()]",
            "for name, field in cls().fields.items()]\n"
            '            columns = cls.Meta.model._meta.concrete_fields if hasattr(cls, "Meta") else ()\n'
            "            cls._getters += [(each.attname, attrgetter(each.attname)) for each in columns]",
        ),
    ),
    "step_up": (
        Edit(
            "security/step_up.py", "if not recent or (self.acr and access.acr not in self.acr):", "if False:"
        ),
    ),
}

#: Layers whose code is not ours to edit, and whose it is.
NOT_OURS = {
    "refresh_rotation": "django-oauth-toolkit rotates refresh tokens, and a check ends start-up without it",
    "refresh_scope": "oauthlib compares the scopes of a refresh",
    "pending_sign_in": "django-allauth signs in after its last step",
}

#: Controls of security/ without a no-op, and what notices instead.
NOT_PLAYED = {
    "key_rotation": "a command and its rights: its tests kill it twice beside readers and writers",
    "schema": "it describes and refuses nothing; `make check` fails if it is not what the code says",
}


def unplayed(controls: set[str]) -> set[str]:
    """Of the modules of security/ those whose source no no-op edits, and for which there is no reason."""
    files = {edit.file for edits in NO_OPS.values() for edit in edits}
    played = {Path(file).with_suffix("").parts[1] for file in files if file.startswith("security/")}
    return controls - played - NOT_PLAYED.keys()


def reshapes_the_database(layer: str) -> bool:
    """Whether the edits are of what a database was made by, so that they show in a new one only."""
    return any(edit.file in MIGRATED or "/migrations/" in edit.file for edit in NO_OPS[layer])


@contextmanager
def copied(source: Path) -> Iterator[Path]:
    """A copy of the source, to be edited."""
    with tempfile.TemporaryDirectory(prefix="portcullis-", dir="/tmp") as scratch:
        copy = Path(scratch) / "source"
        shutil.copytree(source, copy, ignore=KEPT_OUT)
        yield copy


@contextmanager
def edited(source: Path, edits: tuple[Edit, ...]) -> Iterator[None]:
    """The edits, for the length of the block. ValueError if the source has changed."""
    originals = {edit.file: (source / edit.file).read_text() for edit in edits}
    try:
        for edit in edits:
            text = (source / edit.file).read_text()
            if edit.old not in text:
                raise ValueError(f"{edit.file} has changed: the sweep does not find {edit.old!r}")
            (source / edit.file).write_text(text.replace(edit.old, edit.new))
        yield
    finally:
        for file, text in originals.items():
            (source / file).write_text(text)
