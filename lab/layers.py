"""How each layer of defence is taken away, inside the lab's own server process and nowhere else.

A layer is a function that patches the running service and calls ``used(name)`` from the patched place, so
that the runner knows that the removal took effect. The product's code has no switch for any of this.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, connections
from django.db.backends.signals import connection_created

LAYERS: dict[str, Callable[[], None]] = {}


def layer(function: Callable[[], None]) -> Callable[[], None]:
    LAYERS[function.__name__] = function
    return function


def used(name: str) -> None:
    """Tell the runner: a request has met the place where this layer was."""
    Path(os.environ["LAB_USED"], name).touch()


def remove(names: list[str]) -> None:
    for name in names:
        LAYERS[name]()


@layer
def scoping() -> None:
    """Every view forgets to filter, by tenant and by share."""
    from security.object_permissions import ObjectRule, SharedObjects, TenantObjects

    def scope(self: Any, queryset: Any, access: Any) -> Any:
        used("scoping")
        return queryset

    for rule in (TenantObjects, SharedObjects):
        rule.scope = scope  # type: ignore[method-assign]  # the point of it
        rule.page = ObjectRule.page  # type: ignore[method-assign]  # as above


@layer
def row_security() -> None:
    """The service connects as the owner of the tables, whom no policy binds."""
    owner = settings.DATABASE_OWNER
    for each in connections.all():
        each.settings_dict.update({"USER": owner["USER"], "PASSWORD": owner["PASSWORD"]})

    def created(**kwargs: Any) -> None:
        used("row_security")

    connection_created.connect(created, weak=False)
    connection.close()


@layer
def related_scoping() -> None:
    """A row named in a body is looked up among all rows."""
    from security.identifiers import PublicIdRelatedField, canonical_uuid

    def to_internal_value(self: Any, data: Any) -> Any:
        used("related_scoping")
        everything = self.queryset(self.context["view"].access).model.objects.all()
        return everything.filter(public_id=canonical_uuid(data)).first() or original(self, data)

    original = PublicIdRelatedField.to_internal_value
    PublicIdRelatedField.to_internal_value = to_internal_value  # type: ignore[method-assign]  # as above


@layer
def roles() -> None:
    """Whoever has the scope may act, whatever their role."""
    from security.policy import PolicyViewSet

    def permitted(self: Any, rule: Any) -> Any:
        used("roles")
        ways = tuple(way for way in rule.allow if way.scope in self.access.scopes)
        return ways or original(self, rule)

    original = PolicyViewSet._permitted_ways
    PolicyViewSet._permitted_ways = permitted  # type: ignore[method-assign]  # as above


@layer
def scopes() -> None:
    """Whoever has the role may act, whatever the token was given for."""
    from security.policy import PolicyViewSet

    def permitted(self: Any, rule: Any) -> Any:
        used("scopes")
        return tuple(way for way in rule.allow if self.access.role in way.roles) or original(self, rule)

    original = PolicyViewSet._permitted_ways
    PolicyViewSet._permitted_ways = permitted  # type: ignore[method-assign]  # as above


@layer
def field_access() -> None:
    """Every field is there for everybody, in every state of the object."""
    from security.field_access import FieldRule

    def always(self: Any, subject: Any) -> bool:
        used("field_access")
        return True

    FieldRule.admits = FieldRule.covers = always  # type: ignore[method-assign,assignment]  # as above


@layer
def unknown_fields() -> None:
    """Unknown keys are dropped silently, as the framework does."""
    from security import strict_input

    def leniently(serializer: Any, data: Any, parse: Any) -> Any:
        used("unknown_fields")
        return parse(data)

    strict_input._strictly = leniently


@layer
def explicit_fields() -> None:
    """A writer takes whatever column is sent, as ``fields = "__all__"`` would."""
    from security.policy import PolicyViewSet

    def read_body(self: Any, instance: Any = None) -> Any:
        used("explicit_fields")
        sent = self.request.data if isinstance(self.request.data, dict) else {}
        columns = {field.name for field in self.queryset.model._meta.concrete_fields}
        extra = {name: value for name, value in sent.items() if name in columns}
        known = original(self, instance)
        return {**extra, **known}

    original = PolicyViewSet.read_body
    PolicyViewSet.read_body = read_body  # type: ignore[method-assign]  # as above


@layer
def json_parser() -> None:
    """Bodies are read as the standard library reads them: the last of two equal keys wins."""
    import json

    from security import json_parser as module

    def loads(body: bytes) -> Any:
        used("json_parser")
        return json.loads(body)

    module.loads = loads


@layer
def throttling() -> None:
    """Nothing is counted."""
    from security import throttling as module

    def check(limits: Any, *, fail_closed: bool, once: Any = ()) -> Any:
        used("throttling")
        return module.Decision(allowed=True, states=tuple(module.State(limit.rate, 0) for limit in limits))

    module.check = check


@layer
def client_ip() -> None:
    """The leftmost X-Forwarded-For is believed, whoever sends it."""
    from accounts import account, adapters, devices, mails, receivers
    from accounts.oauth import endpoints
    from accounts.oauth import views as oauth_views
    from security import audit, logging, page_limits, policy
    from security import client_ip as module

    def leftmost(request: Any) -> str:
        used("client_ip")
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")[0].strip()
        return forwarded or original(request)

    original = module.client_address
    users = (account, adapters, devices, mails, receivers, oauth_views, endpoints, audit, logging)
    for user in (module, *users, page_limits, policy):
        user.client_address = leftmost  # type: ignore[attr-defined]  # each has imported it


@layer
def errors() -> None:
    """An unforeseen error is answered as a debug page."""
    import sys

    from django.http import HttpResponse
    from django.views.debug import ExceptionReporter

    import config.urls
    from security import errors as module

    def report(request: Any) -> Any:
        used("errors")
        text = ExceptionReporter(request, *sys.exc_info()).get_traceback_text()
        return HttpResponse(text, status=500, content_type="application/problem+json")

    module.server_error = report
    config.urls.handler500 = report


@layer
def transport() -> None:
    """Whatever Host is sent is served."""
    used("transport")
    settings.ALLOWED_HOSTS = ["*"]


@layer
def csrf() -> None:
    """Forms are taken from anywhere."""
    from django.middleware.csrf import CsrfViewMiddleware

    def check(self: Any, request: Any) -> None:
        used("csrf")

    CsrfViewMiddleware._check_token = check  # type: ignore[attr-defined]  # not in the stubs
    CsrfViewMiddleware._check_referer = check  # type: ignore[attr-defined]  # not in the stubs
    CsrfViewMiddleware._origin_verified = lambda self, request: True  # type: ignore[attr-defined]  # not in the stubs


@layer
def code_replay() -> None:
    """A spent code is judged like a fresh one."""
    from accounts.oauth.models import Grant
    from accounts.oauth.validators import OAuthValidator

    def validate_code(self: Any, client_id: str, code: str, *args: Any, **kwargs: Any) -> bool:
        from accounts.oauth.validators import digest

        used("code_replay")
        Grant.objects.filter(code=digest(code)).update(consumed_at=None)
        return bool(original(self, client_id, code, *args, **kwargs))

    original = OAuthValidator.validate_code
    OAuthValidator.validate_code = validate_code  # type: ignore[method-assign]  # as above


@layer
def redirect_uris() -> None:
    """Codes are sent to whatever address the request names."""
    from accounts.oauth.models import Application

    def allowed(self: Any, uri: str) -> bool:
        used("redirect_uris")
        return True

    Application.redirect_uri_allowed = allowed  # type: ignore[method-assign]  # as above


class Whatever:
    """Equal to everything."""

    __hash__ = None  # type: ignore[assignment]  # compared, never kept

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


@layer
def token_scheme() -> None:
    """A token that is bound to a key may come as Bearer."""
    from accounts.oauth import authentication

    def is_scheme(authorization: str) -> Any:
        used("token_scheme")
        return Whatever()

    authentication.is_scheme = is_scheme  # type: ignore[attr-defined]  # imported there


@layer
def proof_of_possession() -> None:
    """Nobody asks for a proof."""
    from accounts.oauth import authentication

    def use_of_proof(request: Any, token: str, jkt: str) -> tuple[()]:
        used("proof_of_possession")
        return ()

    authentication._use_of_proof = use_of_proof


@layer
def key_binding() -> None:
    """Any key's proof will do."""
    from accounts.oauth.dpop import Proof

    def is_by(self: Any, jkt: str) -> bool:
        used("key_binding")
        return True

    Proof.is_by = is_by  # type: ignore[method-assign]  # as above


@layer
def proof_replay() -> None:
    """A proof may be used again."""
    from security import throttling as module

    def check(limits: Any, *, fail_closed: bool, once: Any = ()) -> Any:
        if once:
            used("proof_replay")
        return original(limits, fail_closed=fail_closed)

    original = module.check
    module.check = check


@layer
def refresh_rotation() -> None:
    """A refresh token stays good when it is used."""
    from accounts.oauth.models import AccessToken, RefreshToken
    from accounts.oauth.validators import OAuthValidator

    def revoke(self: Any) -> None:
        used("refresh_rotation")

    def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = original(self, *args, **kwargs)
        AccessToken.objects.filter(pk=token.pk).update(source_refresh_token=None)
        return token

    original = OAuthValidator._create_access_token
    RefreshToken.revoke = revoke
    OAuthValidator._create_access_token = create  # type: ignore[method-assign]  # as above


@layer
def refresh_scope() -> None:
    """A refresh may ask for more than was granted."""
    from accounts.oauth.validators import OAuthValidator

    def within(self: Any, *args: Any, **kwargs: Any) -> bool:
        used("refresh_scope")
        return True

    OAuthValidator.is_within_original_scope = within


@layer
def challenge_of_request() -> None:
    """An authorization request may ask for the plain PKCE method."""
    from accounts.oauth import authorization_requests

    def fault(*args: Any, **kwargs: Any) -> None:
        used("challenge_of_request")

    authorization_requests._fault = fault


@layer
def challenge_of_code() -> None:
    """A code may be issued for a plain challenge."""
    from accounts.oauth.models import Grant
    from accounts.oauth.validators import OAuthValidator

    def create(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        used("challenge_of_code")
        method, request.code_challenge_method = request.code_challenge_method, "S256"
        grant = original(self, request, *args, **kwargs)
        Grant.objects.filter(pk=grant.pk).update(code_challenge_method=method)
        return grant

    original = OAuthValidator._create_authorization_code
    OAuthValidator._create_authorization_code = create  # type: ignore[method-assign]  # as above


@layer
def session_keys() -> None:
    """A session keeps its key when somebody signs in to it."""
    from accounts.sessions import SessionStore

    def cycle_key(self: Any) -> None:
        used("session_keys")

    SessionStore.cycle_key = cycle_key  # type: ignore[method-assign]  # as above


@layer
def spent_codes() -> None:
    """A code of the second factor is good for as long as it is shown, however often."""
    from accounts import second_factor

    def accept(authenticator: Any, code: str) -> bool:
        used("spent_codes")
        type(authenticator).objects.filter(pk=authenticator.pk).update(
            data={**authenticator.data, "last_step": 0}
        )
        return original(authenticator, code)

    original = second_factor.accept_totp
    second_factor.accept_totp = accept


@layer
def pending_sign_in() -> None:
    """Who has shown the password is signed in, and asked for the code afterwards."""
    from allauth.mfa.stages import AuthenticateStage
    from django.contrib.auth import login

    def handle(self: Any) -> Any:
        used("pending_sign_in")
        response = original(self)
        login(self.request, self.login.user, backend="django.contrib.auth.backends.ModelBackend")
        return response

    original = AuthenticateStage.handle
    AuthenticateStage.handle = handle


@layer
def session_digests() -> None:
    """Sessions are kept under their keys, as the framework does."""
    from accounts import sessions

    def digest(session_key: str | None) -> str:
        used("session_digests")
        return session_key or ""

    sessions.digest = digest


@layer
def known_devices() -> None:
    """All guesses at an account share one bucket, whoever makes them."""
    from accounts import devices

    def known_device(request: Any, account: str) -> str:
        used("known_devices")
        return ""

    devices.known_device = known_device


@layer
def administrators() -> None:
    """Whether the caller is still an administrator is not asked again under the lock."""
    from accounts import members

    def unasked(access: Any) -> set[int]:
        used("administrators")
        return {access.user_id, 0}

    members.lock_administrators = unasked


@layer
def own_membership() -> None:
    """One's own role is a role like any other."""
    from accounts import members

    def unchecked(access: Any, membership: Any) -> None:
        used("own_membership")

    members.check_not_own = unchecked


@layer
def invited_address() -> None:
    """Whoever is signed in may accept."""
    from accounts import invitations

    def anybody(request: Any, account: Any) -> bool:
        used("invited_address")
        return bool(request.user.is_authenticated)

    invitations.is_signed_in_as = anybody


@layer
def inviting_right() -> None:
    """An invitation outlives its sender's right to invite."""
    from accounts.models import InvitationQuerySet

    def pending(self: Any, *, now: Any) -> Any:
        used("inviting_right")
        return self.filter(accepted_at=None, revoked_at=None, expires_at__gt=now)

    InvitationQuerySet.open = pending  # type: ignore[method-assign]  # as above


@layer
def token_revocation() -> None:
    """Tokens stay when the membership goes."""
    from accounts.oauth.revocation import end_tokens
    from accounts.signals import membership_removed

    def removed(**kwargs: Any) -> None:
        used("token_revocation")

    membership_removed.disconnect(end_tokens)
    membership_removed.connect(removed, weak=False)
