"""django-oauth-toolkit's validator, closed where it is open.

What differs from the library, each for the reason beside it: codes are stored as digests and locked before
they are judged; a spent code ends the tokens that came from it; the organisation, the authentication and
the family's end travel from code to tokens and from refresh token to refresh token; users who are inactive
or no longer members get nothing; a client authenticates in one way at a time, by signature if it is
registered so; tokens are bound to the key of the request's proof, and have an audience that the client may
ask for.

RFC 6749, RFC 7636, RFC 8707, RFC 9449 sections 5, 10, RFC 9700 sections 2.1.1, 2.2.2, 4.14.2. ASVS 10.4.2,
10.4.3, 10.4.5, 10.4.6.
"""

import hashlib
import re
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.settings import oauth2_settings
from oauthlib.oauth2.rfc6749 import errors

from accounts.models import Membership
from accounts.oauth.authentication_context import LEVELS
from accounts.oauth.backends import JKT
from accounts.oauth.client_assertions import ClientAssertion, InvalidAssertion
from accounts.oauth.models import CLIENT_SECRET, FAPI2, AccessToken, Application, Grant, RefreshToken
from accounts.second_factor import roles_requiring_mfa
from security import throttling
from security.identifiers import uuid7
from security.scopes import CONTACT_ROLE

#: RFC 7636: a verifier has 43 to 128 unreserved characters; an S256 challenge has exactly 43 of base64url.
VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")
CHALLENGE = re.compile(r"[A-Za-z0-9_\-]{43}")

#: What travels with a grant from code to tokens.
CARRIED = ("organisation_id", "acr", "amr", "auth_time")


def digest(value: str) -> str:
    """What is stored of a code or token: SHA-256 in hexadecimal. Enough for 128 bits of randomness."""
    return hashlib.sha256(value.encode()).hexdigest()


class TooManyTokens(Exception):  # noqa: N818  a state of the request
    """A client and person have used up their limit. Carries the decision."""

    def __init__(self, decision: throttling.Decision) -> None:
        super().__init__("too many tokens")
        self.decision = decision


class OAuthValidator(OAuth2Validator):
    """OAUTH2_VALIDATOR_CLASS."""

    # --- clients ---

    def client_authentication_required(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        """Also whoever sends an assertion: it is never ignored."""
        return _has_assertion(request) or bool(
            super().client_authentication_required(request, *args, **kwargs)
        )

    def authenticate_client(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        """One way at a time, and the one that the client is registered for.

        The secret, in the header or in the body, or a signed assertion. A client_id beside it is the same.
        """
        basic = self._extract_basic_auth(request) is not None
        asserted = _has_assertion(request)
        if basic + bool(request.client_secret) + asserted > 1:
            raise errors.InvalidRequestError(description="Two client authentications.", request=request)
        if asserted:
            return self._authenticate_assertion(request)
        authenticate = self._authenticate_basic_auth if basic else self._authenticate_request_body
        return (
            bool(authenticate(request))
            and request.client.token_endpoint_auth_method == CLIENT_SECRET
            and request.client_id in {None, request.client.client_id}
        )

    def _extract_basic_auth(self, request: Any) -> str | None:
        """The scheme is the same in any case (RFC 9110 section 11.1); the library knows one spelling."""
        scheme, _, credentials = str(request.headers.get("HTTP_AUTHORIZATION", "")).partition(" ")
        return credentials if scheme.lower() == "basic" else None

    def _authenticate_assertion(self, request: Any) -> bool:
        """RFC 7523."""
        parameters = dict(request.decoded_body or [])
        assertion = ClientAssertion(
            parameters.get("client_assertion", ""), parameters.get("client_assertion_type", "")
        )
        try:
            client = assertion.authenticate(lambda client_id: self._load_application(client_id, request))
        except InvalidAssertion:
            return False
        return request.client_id in {None, client.client_id}

    def _load_application(self, client_id: str, request: Any) -> Any:
        """NUL cannot be in PostgreSQL's text, so there is no such client; and asking would be an error."""
        return None if "\x00" in (client_id or "") else super()._load_application(client_id, request)

    def _check_secret(self, provided_secret: str, stored_secret: str) -> bool:
        """An empty secret is none, whatever is stored."""
        return bool(provided_secret) and bool(super()._check_secret(provided_secret, stored_secret))

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """A service client stops with the person who answers for it; a contact answers for none.

        Asked at the token endpoint alone: where the FAPI 2.0 profile requires a proof of possession.
        """
        if client.profile == FAPI2 and not request.headers[JKT]:
            raise errors.CustomOAuth2Error(
                error="invalid_dpop_proof",
                description="This client has to send a DPoP proof.",
                request=request,
            )
        allowed = bool(super().validate_grant_type(client_id, grant_type, client, request, *args, **kwargs))
        if allowed and grant_type == "client_credentials":
            membership = _lock_membership(request.client.user_id, request.client.organisation_id)
            return membership is not None and membership.role != CONTACT_ROLE
        return allowed

    # --- authorization request ---

    def validate_scopes(
        self, client_id: str, scopes: list[str], client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """No scope is not every scope: it is refused."""
        return bool(scopes) and bool(
            super().validate_scopes(client_id, scopes, client, request, *args, **kwargs)
        )

    def _create_authorization_code(self, request: Any, code: dict[str, str], expires: Any = None) -> Grant:
        if request.code_challenge_method != "S256" or not CHALLENGE.fullmatch(request.code_challenge or ""):
            raise errors.InvalidRequestError(
                description="code_challenge must be an S256 challenge.", request=request
            )
        return Grant.objects.create(
            application=request.client,
            user=request.user,
            code=digest(code["code"]),
            expires=timezone.now() + timedelta(seconds=oauth2_settings.AUTHORIZATION_CODE_EXPIRE_SECONDS),
            redirect_uri=request.redirect_uri,
            scope=" ".join(request.scopes),
            code_challenge=request.code_challenge,
            code_challenge_method=request.code_challenge_method,
            organisation_id=request.organisation_id,
            acr=request.acr,
            amr=request.amr,
            auth_time=request.auth_time,
            resource=request.resource,
            dpop_jkt=request.dpop_jkt,
            token_family=uuid7(),  # in the order of consent (accounts.me)
        )

    # --- code for tokens ---

    def validate_code(
        self, client_id: str, code: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """Lock the code first: of parallel redemptions one wins, and the others see it spent.

        The membership before it, as its removal does (accounts.oauth.revocation).
        """
        may_act = _may_act(Grant.objects.filter(code=digest(code), application=client))
        grant = (
            Grant.objects.select_for_update(of=("self",))
            .select_related("user")
            .filter(code=digest(code), application=client)
            .first()
        )
        if grant is None:
            return False
        if grant.consumed_at is not None:
            # RFC 9700 section 4.5: a replayed code is a stolen one. End what came from it.
            RefreshToken.revoke_family(grant.token_family)
            return False
        if grant.is_expired() or not may_act:
            return False
        if grant.dpop_jkt and not compare_digest(grant.dpop_jkt, request.headers[JKT]):
            return False
        request.grant = grant
        request.scopes = _still_allowed(grant.scope, client)
        request.user = grant.user
        return bool(request.scopes)

    def confirm_redirect_uri(
        self,
        client_id: str,
        code: str,
        redirect_uri: str,
        client: Any,
        request: Any,
        *args: Any,
        **kwargs: Any,
    ) -> bool:
        """Always sent, and the one of the authorization request: the library would fill in a missing one."""
        if request.using_default_redirect_uri:
            return False
        return Grant.objects.filter(code=digest(code), application=client, redirect_uri=redirect_uri).exists()

    def get_code_challenge(self, code: str, request: Any) -> str:
        if not VERIFIER.fullmatch(request.code_verifier or ""):
            raise errors.InvalidGrantError(description="code_verifier is not one.", request=request)
        return str(request.grant.code_challenge)

    def get_code_challenge_method(self, code: str, request: Any) -> str:
        return str(request.grant.code_challenge_method)

    def get_authorization_code_scopes(
        self, client_id: str, code: str, redirect_uri: str, request: Any
    ) -> list[str]:
        return list(request.scopes or [])

    def invalidate_authorization_code(
        self, client_id: str, code: str, request: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Mark it spent; the row stays until it is swept, so that a replay is recognised."""
        spent = Grant.objects.filter(code=digest(code), application=request.client, consumed_at=None).update(
            consumed_at=timezone.now()
        )
        if not spent:
            raise errors.InvalidGrantError(request=request)

    # --- refresh ---

    def validate_refresh_token(
        self, refresh_token: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """Lock the row first, then judge: of parallel refreshes one wins, the others are replays."""
        may_act = _may_act(
            RefreshToken.objects.filter(token_checksum=digest(refresh_token), application=client)
        )
        token = (
            RefreshToken.objects.select_for_update(of=("self",))
            .filter(token_checksum=digest(refresh_token), application=client)
            .first()
        )
        if token is None or not _is_holder(token, request):
            return False
        if token.revoked is None and (token.family_expires_at <= timezone.now() or not may_act):
            RefreshToken.revoke_family(token.token_family)
            return False
        return bool(super().validate_refresh_token(refresh_token, client, request, *args, **kwargs))

    def get_original_scopes(self, refresh_token: str, request: Any, *args: Any, **kwargs: Any) -> list[str]:
        """What was granted, as far as the client may still have it: its list may have been cut since."""
        granted = super().get_original_scopes(refresh_token, request, *args, **kwargs)
        allowed = _still_allowed(granted or "", request.client)
        if not allowed:
            raise errors.InvalidScopeError(request=request)
        return allowed

    # --- revocation ---

    def revoke_token(self, token: str, token_type_hint: str, request: Any, *args: Any, **kwargs: Any) -> None:
        """RFC 7009. A refresh token ends its family, also if it is spent: it may be all that its client has.

        Locked, so that a refresh at the same moment ends as well. The person first, as a refresh does: what
        is refreshed may be another token of the family than this one.
        """
        held = RefreshToken.objects.filter(token_checksum=digest(token), application=request.client)
        _may_act(held)
        for family in held.select_for_update(of=("self",)).values_list("token_family", flat=True):
            RefreshToken.revoke_family(family)
        super().revoke_token(token, token_type_hint, request, *args, **kwargs)

    # --- what is issued ---

    def save_bearer_token(self, token: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        """All is validated and nothing written yet: the place of the limit by client and person."""
        key = f"token:{request.client.pk}:{getattr(request.user, 'pk', '')}"
        limit = throttling.Limit(throttling.get_rate("token_principal"), key)
        decision = throttling.check([limit], fail_closed=False)
        if not decision.allowed:
            raise TooManyTokens(decision)
        return super().save_bearer_token(token, request, *args, **kwargs)

    def _check_and_set_request_resource(self, request: Any) -> None:
        """RFC 8707: what is asked for, within what was granted; without a word, all of that."""
        asked = [value for name, value in request.decoded_body or [] if name == "resource"]
        grant = vars(request).get("grant") or vars(request).get("refresh_token_instance")
        granted = (grant.resource if grant else None) or request.client.permitted_audiences
        permitted = set(granted) & set(request.client.permitted_audiences)
        if not set(asked or granted) <= permitted:
            raise errors.CustomOAuth2Error(
                error="invalid_target", description="The resource is not one of the grant's.", request=request
            )
        request.resource = asked or granted

    def _create_access_token(
        self, expires: datetime, request: Any, token: dict[str, Any], source_refresh_token: Any = None
    ) -> AccessToken:
        access_token = AccessToken(
            user=request.user,
            scope=token["scope"],
            expires=expires,
            application=request.client,
            source_refresh_token=source_refresh_token,
            resource=request.resource,
            cnf_jkt=request.headers[JKT],
            **_carried(request, source_refresh_token),
        )
        self._set_token_value(access_token, token["access_token"])
        access_token.save()
        return access_token

    def _create_refresh_token(
        self, request: Any, refresh_token_code: str, access_token: AccessToken, previous_refresh_token: Any
    ) -> RefreshToken:
        if previous_refresh_token is not None:
            family = previous_refresh_token.token_family
            family_expires_at = previous_refresh_token.family_expires_at
            resource = previous_refresh_token.resource  # an access token for less does not narrow the next
        else:
            family = request.grant.token_family
            resource = request.grant.resource
            family_expires_at = timezone.now() + settings.REFRESH_FAMILY_LIFETIME
        refresh_token = RefreshToken(
            user=request.user,
            application=request.client,
            access_token=access_token,
            token_family=family,
            family_expires_at=family_expires_at,
            resource=resource,
            cnf_jkt=request.headers[JKT],
            **_carried(request, previous_refresh_token),
        )
        self._set_token_value(refresh_token, refresh_token_code)
        refresh_token.save()
        return refresh_token


def _carried(request: Any, previous_refresh_token: RefreshToken | None) -> dict[str, Any]:
    """organisation and authentication: from the refresh token, the code, or the service client itself."""
    # vars(): the library's request answers getattr() with the caller's own parameters.
    source: Any = previous_refresh_token or vars(request).get("grant")
    if source is not None:
        return {name: getattr(source, name) for name in CARRIED}
    client: Application = request.client
    return {"organisation_id": client.organisation_id}


def _still_allowed(granted: str, client: Application) -> list[str]:
    return [scope for scope in granted.split() if scope in client.scopes]


def _has_assertion(request: Any) -> bool:
    return any(
        name in {"client_assertion", "client_assertion_type"} for name, _ in request.decoded_body or []
    )


def _is_holder(token: RefreshToken, request: Any) -> bool:
    """Whether a key-bound refresh token comes with a proof: by its key, or by any of a confidential client's.

    RFC 9449 section 5. Somebody without the key is refused before anything is made of the token.
    """
    if not token.cnf_jkt:
        return True
    proven: str = request.headers[JKT]
    if request.client.client_type == Application.CLIENT_CONFIDENTIAL:
        return bool(proven)
    return compare_digest(token.cnf_jkt, proven)


def _may_act(held: QuerySet[Any]) -> bool:
    """Whether the user of what is held is active and still a member of its organisation, in a role that the
    sign-in behind it is strong enough for.

    Locks both until what is issued is committed: a removal or a new password waits, and then ends that too.
    """
    found = held.values_list("user_id", "organisation_id", "acr").first()
    if found is None:
        return False
    *person, acr = found
    membership = _lock_membership(*person)
    return membership is not None and not (acr == LEVELS[0] and membership.role in roles_requiring_mfa())


def _lock_membership(user_id: int, organisation_id: int) -> Membership | None:
    return (
        Membership.objects.select_for_update(of=("self", "user"), no_key=True)
        .select_related("user")
        .filter(user_id=user_id, user__is_active=True, organisation_id=organisation_id)
        .first()
    )
