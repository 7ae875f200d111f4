"""How each layer of defence is taken away, inside the lab's own server process and nowhere else.

A layer is a function that patches the running service and calls ``used(name)`` from the patched place, so
that the runner knows that the removal took effect. The product's code has no switch for any of this.
"""

import asyncio
import os
from collections.abc import Callable
from importlib import import_module
from io import BytesIO
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


def _connect_as_owner(name: str) -> None:
    owner = settings.DATABASE_OWNER
    for each in connections.all():
        each.settings_dict.update({"USER": owner["USER"], "PASSWORD": owner["PASSWORD"]})

    def created(**kwargs: Any) -> None:
        used(name)

    connection_created.connect(created, weak=False)
    connection.close()


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
    _connect_as_owner("row_security")


@layer
def same_tenant() -> None:
    """The triggers that keep a row in the organisation of the row that it points to do not fire."""
    from django.apps import apps

    from security.row_security import SameTenant

    models: list[Any] = apps.get_models()
    ignored = ",".join(
        trigger.get_pgid(model)
        for model in models
        for trigger in getattr(model._meta, "triggers", ())
        if isinstance(trigger, SameTenant)
    )

    def created(connection: Any, **kwargs: Any) -> None:
        used("same_tenant")
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('pgtrigger.ignore', %s, false)", [f"{{{ignored}}}"])

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
def idempotency() -> None:
    """Keys are not looked at: what is sent again is done again."""
    from security import idempotency as module

    def once(view: Any, handler: Any) -> Any:
        used("idempotency")
        return handler

    module.once = once


@layer
def judged_replays() -> None:
    """A stored answer is given before the gate asks anything but the token."""
    from security import idempotency as module
    from security.models import StoredAnswer
    from security.policy import PolicyViewSet

    def permitted(self: Any, rule: Any) -> Any:
        if rule.idempotent:
            digest = module._digest(self.access, module._key(self.request))
            if StoredAnswer.objects.filter(digest=digest).exists():
                used("judged_replays")
                return rule.allow
        return original(self, rule)

    def judge_again(self: Any) -> None:
        self.version_judged = True

    original = PolicyViewSet._permitted_ways
    PolicyViewSet._permitted_ways = permitted  # type: ignore[method-assign]  # as above
    PolicyViewSet.judge_again = judge_again  # type: ignore[method-assign]  # as above


@layer
def preconditions() -> None:
    """Whatever version the caller has seen will do."""
    from security import preconditions as module

    def check(request: Any, instance: Any) -> None:
        used("preconditions")

    module.check = check


@layer
def states() -> None:
    """An action is done from whatever state the object is in."""
    from django.apps import apps

    from security.policy import PolicyViewSet

    def anything(self: Any, whatever: Any) -> None:
        used("states")

    PolicyViewSet._check_state = anything  # type: ignore[assignment,method-assign]  # as above
    sample = "resources"  # the sample domain, which may have been deleted
    invoice: Any = apps.get_model(sample, "Invoice")
    invoice._leave = anything


@layer
def limits() -> None:
    """Targets and headers have any length."""
    used("limits")
    settings.MAX_TARGET_BYTES = settings.MAX_HEADER_BYTES = 1_000_000


@layer
def transport() -> None:
    """Whatever Host is sent is served."""
    from django.http import request

    def validate_host(host: str, allowed_hosts: Any) -> bool:
        used("transport")
        return True

    request.validate_host = validate_host


@layer
def bridge() -> None:
    """A header is known by the letters of its name, however they are joined, and a slash in whatever form."""
    from security import bridge

    environ_of: Any = bridge.environ_of

    def respelled(scope: Any) -> Any:
        headers = [(name.replace(b"_", b"-"), value) for name, value in scope["headers"]]
        path = scope["raw_path"].replace(b"%2F", b"/")
        if (headers, path) != (list(scope["headers"]), scope["raw_path"]):
            used("bridge")
        return environ_of({**scope, "headers": headers, "raw_path": path})

    bridge.environ_of = respelled


@layer
def request_body() -> None:
    """A body is waited for by the thread that serves the request, and for as long as it takes."""
    from security.request_body import Body

    async def remember(self: Any, receive: Any, environ: Any) -> None:
        self.source, self.loop = receive, asyncio.get_running_loop()

    async def first_piece(self: Any) -> Any:
        return await self.source()

    def opened(self: Any) -> BytesIO:
        used("request_body")
        if self._stream is None:
            message = asyncio.run_coroutine_threadsafe(first_piece(self), self.loop).result()
            self._stream = BytesIO(message["body"])
        stream: BytesIO = self._stream
        return stream

    Body.receive = remember  # type: ignore[method-assign]  # as above
    Body._opened = opened  # type: ignore[method-assign]  # as above


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
def inventory() -> None:
    """Start-up does not compare the routes with the document."""
    from security import inventory as module

    def check(**kwargs: Any) -> list[Any]:
        used("inventory")
        return []

    module.check_inventory = check  # type: ignore[assignment]  # as above


@layer
def sunset() -> None:
    """What has ended is served on."""
    from security.inventory import Deprecated

    def check(self: Any) -> None:
        used("sunset")

    Deprecated.check = check  # type: ignore[method-assign]  # as above


@layer
def weak_tokens() -> None:
    """Tokens of a sign-in without a second factor stay when a role comes that needs one."""
    from accounts.oauth.revocation import end_weak_tokens
    from accounts.signals import weak_access_ended

    def given(**kwargs: Any) -> None:
        used("weak_tokens")

    weak_access_ended.disconnect(end_weak_tokens)
    weak_access_ended.connect(given, weak=False)


@layer
def strong_roles() -> None:
    """A token has the role, however its owner signed in."""
    from accounts.oauth import authentication

    def none() -> frozenset[str]:
        used("strong_roles")
        return frozenset()

    authentication.roles_requiring_mfa = none  # type: ignore[attr-defined]  # imported there


@layer
def sign_in_in_progress() -> None:
    """A sign-in goes on, whatever became of the password that it began with."""
    from accounts import sign_in

    def unasked(login: Any) -> bool:
        used("sign_in_in_progress")
        return True

    sign_in.is_unchanged = unasked


@layer
def token_revocation() -> None:
    """Tokens stay when the membership goes."""
    from accounts.oauth.revocation import end_tokens
    from accounts.signals import membership_removed

    def removed(**kwargs: Any) -> None:
        used("token_revocation")

    membership_removed.disconnect(end_tokens)
    membership_removed.connect(removed, weak=False)


@layer
def audit() -> None:
    """Nothing is written down."""
    from security import audit as module

    def append(events: Any) -> None:
        used("audit")

    module.append = append


@layer
def audit_trail() -> None:
    """Whoever has the scope reads the trail, whatever their role."""
    from dataclasses import replace

    from security.audit_trail import AuditEventViewSet
    from security.scopes import all_roles

    def filter_queryset(self: Any, queryset: Any) -> Any:
        used("audit_trail")
        return original(self, queryset)

    original = AuditEventViewSet.filter_queryset
    AuditEventViewSet.filter_queryset = filter_queryset  # type: ignore[method-assign]  # as above
    rules = AuditEventViewSet.rules
    (way,) = rules["list"].allow
    everybody = replace(way, roles=frozenset(all_roles()))
    AuditEventViewSet.rules = {"list": replace(rules["list"], allow=(everybody,))}


@layer
def availability() -> None:
    """An outage of the database is an error like any other, and dead connections are used."""
    from security import availability as module

    class Never(Exception):  # noqa: N818  nothing raises it
        pass

    def look_away() -> None:
        used("availability")

    module.close_dead_connections = look_away
    module.OperationalError = module.InterfaceError = Never  # type: ignore[attr-defined,assignment]  # imported there


@layer
def database_roles() -> None:
    """One role does everything: the service connects as the owner of its tables."""
    _connect_as_owner("database_roles")


@layer
def deny_all() -> None:
    """A view that declares nothing is open to whoever has a token."""
    from security.scopes import DenyAll

    def has_permission(self: Any, request: Any, view: Any) -> bool:
        used("deny_all")
        return request.auth is not None

    DenyAll.has_permission = has_permission  # type: ignore[method-assign]  # as above


@layer
def headers() -> None:
    """Answers leave as the views made them."""
    from security.headers import HeadersMiddleware

    def call(self: Any, request: Any) -> Any:
        used("headers")
        return self.get_response(request)

    HeadersMiddleware.__call__ = call  # type: ignore[method-assign]  # as above


@layer
def identifiers() -> None:
    """An id may be spelled in every way that the library reads."""
    import uuid

    from security import identifiers as module

    def any_spelling(text: object) -> uuid.UUID | None:
        used("identifiers")
        try:
            return uuid.UUID(str(text))
        except ValueError:
            return None

    module.canonical_uuid = any_spelling


@layer
def keyring() -> None:
    """Whatever claims to be signed by this service is."""
    from security import keyring as module

    def is_signed(purpose: str, message: bytes, signature: bytes) -> bool:
        used("keyring")
        return True

    module.is_signed = is_signed


@layer
def log_lines() -> None:
    """The log is text, a message after the other."""
    import logging

    class Text(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            used("log_lines")
            return super().format(record)

    for handler in logging.getLogger().handlers:
        handler.setFormatter(Text())


@layer
def log_redaction() -> None:
    """What is logged is logged whole."""
    import logging

    from security.logging import redact

    def keep(_: Any, __: str, event: Any) -> Any:
        used("log_redaction")
        return event

    for handler in logging.getLogger().handlers:
        steps: list[Any] = handler.formatter.foreign_pre_chain  # type: ignore[union-attr]  # structlog's
        steps[steps.index(redact)] = keep


@layer
def outbound() -> None:
    """Whatever URL a client's record names is fetched."""
    from accounts.oauth.client_assertions import RemoteKeys
    from security.outbound import OutboundClient

    def permits(address: str) -> bool:
        used("outbound")
        return True

    RemoteKeys.client = OutboundClient(permits=permits, ports=frozenset(range(2**16)))


@layer
def page_limits() -> None:
    """Pages are not counted."""
    from security import page_limits as module

    def usage(request: Any, name: str, key: str) -> None:
        used("page_limits")

    module._usage = usage


@layer
def pagination() -> None:
    """The caller says how long a page is."""
    from security import policy
    from security.strict_input import parse_query as original

    def parse_query(serializer_class: Any, query_params: Any) -> dict[str, Any]:
        asked = query_params.copy()
        limit = asked.pop("limit", [])
        query = original(serializer_class, asked)
        if limit:
            used("pagination")
            query["limit"] = int(limit[0])
        return query

    policy.parse_query = parse_query  # type: ignore[attr-defined]  # imported there


@layer
def routes() -> None:
    """A path with a slash at its end is the path without."""
    from django.urls import clear_url_caches, re_path, resolve

    import config.urls

    def tolerant(request: Any, rest: str) -> Any:
        used("routes")
        match = resolve(f"/{rest}")
        return match.func(request, *match.args, **match.kwargs)

    config.urls.urlpatterns.append(re_path("^(?P<rest>.+)/$", tolerant))
    clear_url_caches()


@layer
def serializers() -> None:
    """A reader shows every column of its model, as ``fields = "__all__"`` would."""
    from operator import attrgetter

    from security.serializers import ReadSerializer

    def getters(cls: Any) -> Any:
        used("serializers")
        model = getattr(getattr(cls, "Meta", None), "model", None)
        columns = [field.attname for field in model._meta.concrete_fields] if model else []
        return original(cls) + [(name, attrgetter(name)) for name in columns]

    original = ReadSerializer.getters.__func__  # type: ignore[attr-defined]  # of the class method
    ReadSerializer.getters = classmethod(getters)  # type: ignore[assignment,method-assign]  # as above


@layer
def row_binding() -> None:
    """A ciphertext is bound to its table and column, and to no row."""
    from security import encryption

    original = encryption._associated_data
    _bind("row_binding", lambda key_id, table, column, row: original(key_id, table, column, ""))


@layer
def column_binding() -> None:
    """A ciphertext is bound to its row, and to no column."""
    from security import encryption

    original = encryption._associated_data
    _bind("column_binding", lambda key_id, table, column, row: original(key_id, table, "", row))


def _bind(name: str, binding: Any) -> None:
    """What was encrypted before the server started is bound as ever, and opens as well."""
    from security import encryption

    original_binding, original_decrypt = encryption._associated_data, encryption.decrypt

    def decrypt(ciphertext: str, **place: str) -> str:
        used(name)
        try:
            return original_decrypt(ciphertext, **place)
        except encryption.CannotDecrypt:
            encryption._associated_data = original_binding
            try:
                return original_decrypt(ciphertext, **place)
            finally:
                encryption._associated_data = binding

    encryption._associated_data = binding
    encryption.decrypt = decrypt
    for user in ("accounts.sessions", "accounts.second_factor"):
        vars(import_module(user))["decrypt"] = decrypt  # each has imported it


@layer
def blind_index() -> None:
    """An index is of the value alone, whoever's it is."""
    from security import encryption

    def index_input(column: str, organisation_id: int, value: str) -> bytes:
        used("blind_index")
        return original(column, 0, value)

    original = encryption._index_input
    encryption._index_input = index_input


@layer
def masking() -> None:
    """A masked field shows what it has."""
    from security.masking import MaskedField, RevealedField

    def show(self: Any, instance: Any) -> Any:
        used("masking")
        return RevealedField.show(self, instance)

    MaskedField.show = show  # type: ignore[method-assign]  # as above


@layer
def quotas() -> None:
    """Nobody counts."""

    def spend(name: str, holder: Any) -> None:
        used("quotas")

    vars(import_module("resources.views"))["spend"] = spend  # which may have been deleted


@layer
def step_up() -> None:
    """A token is as good as on its first day, whenever its owner was last seen."""
    from security.step_up import StepUp

    def check(self: Any, access: Any) -> None:
        used("step_up")

    StepUp.check = check  # type: ignore[method-assign]  # as above
