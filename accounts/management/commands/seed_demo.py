"""``manage.py seed_demo``: two organisations, their people, clients and objects, written to DEMO_FILE."""

import json
import secrets
from importlib import import_module
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import generate_totp_secret
from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from jwcrypto.jwk import JWK

from accounts import second_factor
from accounts.models import Membership, Organisation, User
from accounts.oauth.models import FAPI2, NONE, PRIVATE_KEY_JWT, Application
from security.policy import declared_rules
from security.row_security import tenant
from security.scopes import SERVICE_ROLE, all_roles, all_scopes

ORGANISATIONS = (("Acme", "acme.example", "EUR"), ("Globex", "globex.example", "USD"))
CALLBACK = "https://client.example/callback"
CODE_GRANTS = ["authorization_code", "refresh_token"]


class Command(BaseCommand):
    help = "Seeds the demo; refused unless DEMO is on. Run again, it keeps what is there."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("DEMO is off. Demo users have passwords in a file: never on a real service.")
        self.kept = self._read()
        with transaction.atomic():
            demo = self._seed()
        path = settings.DEMO_FILE
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = path.with_suffix(".new")
        scratch.unlink(missing_ok=True)
        scratch.touch(0o600)
        scratch.write_text(json.dumps(demo, indent=2) + "\n")
        scratch.replace(path)

    def _seed(self) -> dict[str, Any]:
        users: list[dict[str, Any]] = []
        clients = [self._public("demo-web", "Demo web application", CALLBACK)]
        clients.append(
            self._public("demo-docs", "API documentation", f"{settings.PUBLIC_URL}/docs/oauth2-redirect")
        )
        clients.append(self._confidential("demo-backend", "Demo backend"))
        clients.append(self._fapi("demo-fapi", "Demo bank"))
        clients.append(self._resource_server("demo-reports", "Demo reports"))
        objects: list[dict[str, Any]] = []
        for name, domain, currency in ORGANISATIONS:
            organisation, _ = Organisation.objects.get_or_create(name=name, defaults={"currency": currency})
            by_role = {role: self._user(role, domain, organisation, users) for role in all_roles()}
            clients.append(self._service(organisation, next(iter(by_role.values()))))
            for app in apps.get_app_configs():
                if module := getattr(app, "demo", None):
                    with tenant(organisation.pk):
                        created = import_module(module).create(organisation, by_role)
                    objects.append({"organisation": name, **created})
        return {
            "base_url": settings.PUBLIC_URL,
            "ca_file": settings.DEMO_CA_FILE,
            "users": users,
            "clients": clients,
            "objects": objects,
        }

    def _user(self, role: str, domain: str, organisation: Organisation, users: list[dict[str, Any]]) -> User:
        email = f"{role.replace('_', '-')}@{domain}"
        password = self.kept.get(email) or secrets.token_urlsafe(15)
        user = User.objects.filter(email=email).first()
        if user is None:
            label = role.replace("_", " ").capitalize()
            user = User.objects.create_user(email, password, name=f"{label} of {organisation.name}")
        elif not user.check_password(password):
            user.set_password(password)
            user.save(update_fields=["password"])
        with tenant(organisation.pk):
            Membership.objects.get_or_create(user=user, organisation=organisation, defaults={"role": role})
        users.append(
            {
                "username": email,
                "password": password,
                "organisation": organisation.name,
                "role": role,
                "totp_secret": self._second_factor(user, role),
            }
        )
        return user

    def _second_factor(self, user: User, role: str) -> str | None:
        """The seed of an authenticator app, for roles that nobody has without one."""
        if role not in second_factor.roles_requiring_mfa():
            return None
        kept: str | None = self.kept.get(f"totp:{user.email}")
        if kept is None or not second_factor.is_enrolled(user):
            Authenticator.objects.filter(user=user, type=second_factor.TOTP).delete()
            kept = kept or generate_totp_secret()
            second_factor.add_totp(user, kept, used=False)
        return kept

    def _public(self, client_id: str, name: str, redirect_uri: str) -> dict[str, Any]:
        return self._client(
            client_id,
            grants=CODE_GRANTS,
            name=name,
            client_type="public",
            token_endpoint_auth_method="none",  # noqa: S106  a method's name
            redirect_uris=redirect_uri,
            scopes=list(all_scopes()),
        )

    def _confidential(self, client_id: str, name: str) -> dict[str, Any]:
        return self._client(
            client_id, grants=CODE_GRANTS, name=name, redirect_uris=CALLBACK, scopes=list(all_scopes())
        )

    def _fapi(self, client_id: str, name: str) -> dict[str, Any]:
        """FAPI 2.0: pushes its requests, signs instead of sending a secret, proves that it has the key."""
        private = self.kept.get(client_id) or JWK.generate(
            kty="EC", crv="P-256", alg="ES256", use="sig"
        ).export(as_dict=True)
        private["kid"] = JWK(**private).thumbprint()
        public = {name: value for name, value in private.items() if name != "d"}
        client = self._client(
            client_id,
            grants=CODE_GRANTS,
            name=name,
            redirect_uris=CALLBACK,
            scopes=list(all_scopes()),
            profile=FAPI2,
            token_endpoint_auth_method=PRIVATE_KEY_JWT,
            client_jwks={"keys": [public]},
            require_pushed_authorization_requests=True,
        )
        return {**client, "private_jwk": private}

    def _resource_server(self, client_id: str, name: str) -> dict[str, Any]:
        """Another API, which may introspect the tokens of this one; a client of no scope."""
        return self._client(
            client_id,
            grants=CODE_GRANTS,
            name=name,
            redirect_uris=CALLBACK,
            scopes=[],
            serves_audiences=[settings.PUBLIC_URL],
        )

    def _service(self, organisation: Organisation, responsible: User) -> dict[str, Any]:
        scopes = {way.scope for rule in declared_rules() for way in rule.allow if SERVICE_ROLE in way.roles}
        return self._client(
            f"demo-service-{organisation.name.lower()}",
            grants=["client_credentials"],
            name=f"Demo service of {organisation.name}",
            organisation=organisation,
            user=responsible,
            authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
            scopes=sorted(scopes),
        )

    def _client(self, client_id: str, *, grants: list[str], **fields: Any) -> dict[str, Any]:
        secretless = {NONE, PRIVATE_KEY_JWT}
        without = fields.get("token_endpoint_auth_method") in secretless
        secret = None if without else self.kept.get(client_id) or secrets.token_urlsafe(48)
        defaults = {
            "client_type": Application.CLIENT_CONFIDENTIAL,
            "authorization_grant_type": Application.GRANT_AUTHORIZATION_CODE,
            "client_secret": secret or "",
            **fields,
        }
        application, _ = Application.objects.update_or_create(client_id=client_id, defaults=defaults)
        return {
            "client_id": client_id,
            "client_secret": secret,
            "private_jwk": None,
            "grant_types": grants,
            "scopes": application.scopes,
            "redirect_uris": application.redirect_uris.split(),
        }

    def _read(self) -> dict[str, Any]:
        """Secrets of the seeding before, private keys too, by user or client; seeds by ``totp:`` and user."""
        try:
            demo = json.loads(settings.DEMO_FILE.read_text())
        except (OSError, ValueError):
            return {}
        secrets_by_name = {user["username"]: user["password"] for user in demo["users"]}
        secrets_by_name |= {
            f"totp:{user['username']}": user["totp_secret"] for user in demo["users"] if user["totp_secret"]
        }
        return secrets_by_name | {
            client["client_id"]: client.get("private_jwk") or client["client_secret"]
            for client in demo["clients"]
            if client.get("private_jwk") or client["client_secret"]
        }
