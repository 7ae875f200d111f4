"""The authorization server's endpoints: authorize, token and revoke. The others are modules of their own.

Only what ``accounts.oauth.urls`` lists is mounted. The library's application management, device flow,
introspection and OIDC views are not: any signed-in user could register clients with them.
"""

from datetime import datetime
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db.models import Exists, OuterRef
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.generic.base import TemplateResponseMixin
from oauth2_provider.exceptions import FatalClientError, OAuthToolkitError
from oauth2_provider.signals import app_authorized
from oauth2_provider.views.base import BaseAuthorizationView
from oauth2_provider.views.base import TokenView as LibraryTokenView
from oauthlib.oauth2.rfc6749 import errors
from oauthlib.openid.connect.core.exceptions import ConsentRequired, LoginRequired

from accounts import redirects
from accounts.models import Membership
from accounts.oauth import pushed_requests
from accounts.oauth.authentication_context import AuthenticationContext
from accounts.oauth.authorization_requests import AuthorizationRequest, validated, with_parameters
from accounts.oauth.endpoints import Endpoint, oauth_error
from accounts.oauth.models import AccessToken, RefreshToken
from accounts.oauth.validators import digest
from accounts.sessions import SessionStore
from accounts.views import limit
from security import audit
from security.client_ip import client_address, throttle_key
from security.identifiers import canonical_uuid
from security.scopes import all_scopes

#: What the consent form sends. Everything else comes from the validated authorization request.
CONSENT_FIELDS = frozenset({"csrfmiddlewaretoken", "organisation", "decision"})
GRANT_TYPES = frozenset(settings.OAUTH2_PROVIDER["OAUTH2_GRANT_TYPES_SUPPORTED"])
#: Session: authorization requests that have sent the person to sign in anew → when.
SENT_TO_SIGN_IN = "sent_to_sign_in"
MAX_SENT = 8
#: How long a sign-in that was asked for counts as the answer, however small ``max_age`` is: there is no loop.
TO_COME_BACK_SECONDS = 300


class AuthorizeView(TemplateResponseMixin, BaseAuthorizationView):
    """RFC 6749 section 4.1.1: always asks, names the client, the scopes in words and one organisation.

    The form repeats the authorization request in its URL, so each POST validates it afresh; no parameter of
    the client's can skip the question. A request may want the person to authenticate anew or more strongly
    (``prompt=login``, ``max_age``, ``acr_values``); that is asked for once, and then it is so or it is an
    error.
    """

    template_name = "oauth/consent.html"
    asked: AuthorizationRequest

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        key = request.user.pk or f"address:{throttle_key(client_address(request))}"
        refused = limit(request, ("authorize", f"authorize:{key}"), fail_closed=False)
        if refused is not None:
            return refused
        if request.method not in {"GET", "POST"}:
            return HttpResponseNotAllowed(["GET", "POST"])
        now = timezone.now()
        try:
            self.asked = self._read(request, now)
            context = AuthenticationContext.of(request.session)
            if not request.user.is_authenticated or self._has_to_sign_in(request, context, now):
                return self._send_to_sign_in(request, now)
            if request.method == "POST":
                return self._decide(request, context)
            if "none" in self.asked.prompt:
                raise self.asked.error(ConsentRequired())  # the question is always asked
        except FatalClientError as error:
            if not request.user.is_authenticated:  # strangers do not learn which clients there are
                return redirect_to_login(request.get_full_path(), settings.LOGIN_URL)
            return self.error_response(error, application=None)
        except OAuthToolkitError as error:
            return self.error_response(error, application=None)
        return self._ask(request)

    def _read(self, request: HttpRequest, now: datetime) -> AuthorizationRequest:
        """The validated request, pushed or not. Raises OAuthToolkitError."""
        pushed = "request_uri" in request.GET
        parameters = pushed_requests.present(request, now=now) if pushed else request.GET
        core = self.get_oauthlib_core()
        return validated(core, with_parameters(request, parameters), pushed=pushed)

    # --- authentication ---

    def _has_to_sign_in(self, request: HttpRequest, context: AuthenticationContext, now: datetime) -> bool:
        """Whether the person's authentication is not what is asked for. Raises what cannot be mended."""
        asked = self.asked
        sent = parse_datetime(request.session.get(SENT_TO_SIGN_IN, {}).get(asked.digest, ""))
        since = context.auth_time
        age = (now - since).total_seconds() if since is not None else float("inf")
        came_back = sent is not None and since is not None and since >= sent and age <= TO_COME_BACK_SECONDS
        old = "login" in asked.prompt or (asked.max_age is not None and age > asked.max_age)
        weak = bool(asked.acr_values) and not context.satisfies(asked.acr_values)
        if weak and came_back:
            raise asked.error(errors.CustomOAuth2Error(error="unmet_authentication_requirements"))
        return weak or (old and not came_back)

    def _send_to_sign_in(self, request: HttpRequest, now: datetime) -> HttpResponseBase:
        """To the sign-in page and back; for ``prompt=none`` an error instead."""
        if "none" in self.asked.prompt:
            raise self.asked.error(LoginRequired())
        if self.asked.wants_authentication:
            sent = {**request.session.get(SENT_TO_SIGN_IN, {}), self.asked.digest: now.isoformat()}
            request.session[SENT_TO_SIGN_IN] = dict(list(sent.items())[-MAX_SENT:])
            redirects.may_lead_to(request, self.asked.origin)  # if it is still not enough
        page = settings.REAUTHENTICATION_URL if request.user.is_authenticated else settings.LOGIN_URL
        return redirect_to_login(request.get_full_path(), page)

    # --- consent ---

    def _ask(self, request: HttpRequest, error: str = "") -> HttpResponse:
        words = all_scopes()
        response = self.render_to_response(
            {
                "application": self.asked.application,
                "scopes": [(scope, words[scope]) for scope in self.asked.scopes],
                "memberships": self._memberships(request),
                "destination": urlsplit(self.asked.redirect_uri).netloc,
                "resources": self.asked.resource,
                "days": settings.REFRESH_FAMILY_LIFETIME.days,
                "error": error,
            },
            status=HTTPStatus.BAD_REQUEST if error else HTTPStatus.OK,
        )
        # Browsers hold the redirect after a form to form-action as well.
        sources = {"form-action": ["'self'", self.asked.origin]}
        response._csp_update = sources  # type: ignore[attr-defined]  # django-csp's own way
        return response

    def _decide(self, request: HttpRequest, context: AuthenticationContext) -> HttpResponseBase:
        if request.POST.keys() - CONSENT_FIELDS:
            return oauth_error("invalid_request")
        asked = self.asked
        allow = request.POST.get("decision") == "allow"
        membership = (
            self._memberships(request)
            # Locked, so that no code is given that a removal or a new password would not end.
            .select_for_update(of=("self", "user"), no_key=True)
            .select_related("user")
            .filter(organisation__public_id=canonical_uuid(request.POST.get("organisation", "")))
            .first()
        )
        if allow and membership is None:
            return self._ask(request, error="Choose the organisation.")
        if not cast(SessionStore, request.session).is_open():
            # It ended while this waited for the lock, with a new password, say: it decides nothing any more.
            request.session.flush()
            response = redirect_to_login(request.get_full_path(), settings.LOGIN_URL)
            response.status_code = HTTPStatus.SEE_OTHER
            return response
        if "request_uri" in request.GET and not pushed_requests.spend(request):
            raise pushed_requests.InvalidRequestUriError
        sent = request.session.get(SENT_TO_SIGN_IN, {})
        if sent.pop(asked.digest, None) is not None:
            request.session.modified = True
        credentials = asked.credentials(
            organisation_id=membership.organisation_id if membership else None,
            auth_time=context.auth_time,
            acr=context.acr,
            amr=list(context.amr),
        )
        try:
            uri, _, _, _ = self.create_authorization_response(
                request=asked.request, scopes=" ".join(asked.scopes), credentials=credentials, allow=allow
            )
        except OAuthToolkitError as error:
            self._audit(request, audit.Event.CONSENT_DENIED, membership)
            return self.error_response(error, asked.application)
        self._audit(request, audit.Event.CONSENT_GIVEN, membership)
        return self.redirect(uri, asked.application)

    def _memberships(self, request: HttpRequest) -> Any:
        return (
            Membership.objects.filter(user=cast(Any, request.user))
            .select_related("organisation")
            .order_by("organisation__name")
        )

    def _audit(self, request: HttpRequest, event: audit.Event, membership: Membership | None) -> None:
        audit.record(
            request,
            event,
            organisations=[membership.organisation_id] if membership else [],
            actor=cast(Any, request.user).public_id,
            client_id=self.asked.application.client_id,
            detail={"scopes": self.asked.scopes},
        )

    # --- where it goes on ---

    def error_response(self, error: Any, application: Any, **kwargs: Any) -> HttpResponseBase:
        """Back to the client where its redirect URI is known to be its own; a page otherwise."""
        redirect, context = super(BaseAuthorizationView, self).error_response(error, **kwargs)
        if redirect:
            return self.redirect(context["url"], application)
        self.template_name = "oauth/error.html"
        return self.render_to_response({"error": context["error"].error}, status=context["error"].status_code)

    def redirect(self, redirect_to: str, application: Any) -> HttpResponseBase:
        """Every authorization response names its issuer (RFC 9207), refusals too; 303 after a POST."""
        parts = urlsplit(redirect_to)
        query = [item for item in parse_qsl(parts.query, keep_blank_values=True) if item[0] != "iss"]
        query.append(("iss", settings.PUBLIC_URL))
        response = super().redirect(urlunsplit(parts._replace(query=urlencode(query))), application)
        if self.request.method == "POST":
            response.status_code = HTTPStatus.SEE_OTHER
        return cast(HttpResponseBase, response)


class TokenView(Endpoint, LibraryTokenView):
    """RFC 6749 section 3.2, within the request's transaction: tokens and the spent code commit together."""

    takes_proof = True

    def answer(self, request: HttpRequest) -> HttpResponseBase:
        if request.POST.get("grant_type", "") not in GRANT_TYPES:
            return oauth_error("unsupported_grant_type")
        response = cast(HttpResponseBase, self.authorization_flow_token_response(request))
        # The library leaves it out where an error occurs while tokens are being stored.
        response.headers["Content-Type"] = "application/json"
        return response


class RevokeTokenView(Endpoint):
    """RFC 7009."""

    def answer(self, request: HttpRequest) -> HttpResponseBase:
        checksum = digest(request.POST.get("token", ""))
        family = RefreshToken.objects.filter(token_family=OuterRef("token_family"), revoked=None)
        token = (
            AccessToken.objects.select_related("user", "application").filter(token_checksum=checksum).first()
            or RefreshToken.objects.select_related("user", "application")
            .filter(Exists(family), token_checksum=checksum)
            .first()
        )
        _, headers, body, status = self.create_revocation_response(request)
        if token is not None and status == HTTPStatus.OK and _is_gone(token):
            audit.record(
                request,
                audit.Event.TOKEN_REVOKED,
                organisations=[token.organisation_id],
                actor=token.user.public_id if token.user else None,
                client_id=token.application.client_id,
            )
        return HttpResponse(body or "", status=status, headers=headers)


@receiver(app_authorized)
def audit_token(sender: Any, request: HttpRequest, token: AccessToken, **kwargs: Any) -> None:
    audit.record(
        request,
        audit.Event.TOKEN_ISSUED,
        organisations=[token.organisation_id],
        actor=token.user.public_id if token.user else None,
        client_id=token.application.client_id,
        detail={"grant_type": request.POST.get("grant_type", ""), "scopes": token.scope.split()},
    )


def _is_gone(token: AccessToken | RefreshToken) -> bool:
    if isinstance(token, AccessToken):
        return not AccessToken.objects.filter(pk=token.pk).exists()
    return RefreshToken.objects.filter(pk=token.pk).exclude(revoked=None).exists()
