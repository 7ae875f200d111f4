"""The authorization server's endpoints: authorize, token, revoke and the metadata documents.

Only these are mounted. The library's application management, device flow, introspection and OIDC views are
not: any signed-in user could register clients with them.
"""

from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.generic import View
from django.views.generic.base import TemplateResponseMixin
from oauth2_provider.exceptions import FatalClientError, OAuthToolkitError
from oauth2_provider.signals import app_authorized
from oauth2_provider.views.base import BaseAuthorizationView
from oauth2_provider.views.base import RevokeTokenView as LibraryRevokeView
from oauth2_provider.views.base import TokenView as LibraryTokenView
from oauthlib.common import add_params_to_uri
from oauthlib.oauth2.rfc6749 import errors

from accounts.models import Membership
from accounts.oauth.models import AccessToken, Application, RefreshToken
from accounts.oauth.validators import CHALLENGE, digest
from accounts.views import limit
from security import audit
from security.client_ip import client_address, throttle_key
from security.identifiers import canonical_uuid
from security.scopes import all_scopes

#: What the consent form sends. Everything else comes from the validated authorization request.
CONSENT_FIELDS = frozenset({"csrfmiddlewaretoken", "organisation", "decision"})
GRANT_TYPES = frozenset(settings.OAUTH2_PROVIDER["OAUTH2_GRANT_TYPES_SUPPORTED"])


class AuthorizeView(TemplateResponseMixin, BaseAuthorizationView):
    """RFC 6749 section 4.1.1: always asks, names the client, the scopes in words and one organisation.

    The form repeats the authorization request in its URL, so each POST validates it afresh; no parameter
    of the client's can skip the question.
    """

    template_name = "oauth/consent.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            scopes, credentials = self._validated(request)
        except OAuthToolkitError as error:
            return self.error_response(error, application=None)
        return self._ask(request, scopes, credentials)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.POST.keys() - CONSENT_FIELDS:
            return _oauth_error("invalid_request", HTTPStatus.BAD_REQUEST)
        try:
            scopes, credentials = self._validated(request)
        except OAuthToolkitError as error:
            return self.error_response(error, application=None)
        application = Application.objects.get(client_id=credentials["client_id"])
        allow = request.POST.get("decision") == "allow"
        membership = (
            self._memberships(request)
            # Locked, so that no code is given that a removal at the same moment would not end.
            .select_for_update(of=("self",), no_key=True)
            .filter(organisation__public_id=canonical_uuid(request.POST.get("organisation", "")))
            .first()
        )
        if allow and membership is None:
            return self._ask(request, scopes, credentials, error="Choose the organisation.")
        credentials["organisation_id"] = membership.organisation_id if membership else None
        credentials["auth_time"] = parse_datetime(request.session.get("auth_time", ""))
        try:
            uri, _, _, _ = self.create_authorization_response(
                request=request, scopes=" ".join(scopes), credentials=credentials, allow=allow
            )
        except OAuthToolkitError as error:
            self._audit(request, audit.Event.CONSENT_DENIED, application, membership)
            return self.error_response(error, application)
        self._audit(request, audit.Event.CONSENT_GIVEN, application, membership)
        return self.redirect(uri, application)

    def _validated(self, request: HttpRequest) -> tuple[list[str], dict[str, Any]]:
        """Scopes and credentials of the request, or OAuthToolkitError."""
        if not request.GET.get("redirect_uri"):
            # The library would fill in the only one registered; OAuth 2.1 and FAPI want it said.
            raise FatalClientError(errors.MissingRedirectURIError())
        repeated = [name for name, values in request.GET.lists() if len(values) > 1]
        if repeated or any("\x00" in value for value in request.GET.values()):
            raise FatalClientError(errors.InvalidRequestFatalError(description="Repeated parameter or NUL."))
        scopes, credentials = self.validate_authorization_request(request)
        redirect_uri = credentials["redirect_uri"]
        if credentials.get("code_challenge_method") != "S256" or not CHALLENGE.fullmatch(
            credentials.get("code_challenge", "")
        ):
            error = errors.InvalidRequestError(
                description="code_challenge must be an S256 challenge.", state=credentials.get("state")
            )
            raise OAuthToolkitError(error, redirect_uri=redirect_uri)
        if request.GET.get("response_mode", "query") != "query":
            error = errors.InvalidRequestError(
                description="response_mode must be query.", state=credentials.get("state")
            )
            raise OAuthToolkitError(error, redirect_uri=redirect_uri)
        # The library's request object would travel into the redirect's parameters.
        credentials.pop("request", None)
        return scopes, credentials

    def _ask(
        self, request: HttpRequest, scopes: list[str], credentials: dict[str, Any], error: str = ""
    ) -> HttpResponse:
        words = all_scopes()
        target = urlsplit(credentials["redirect_uri"])
        response = self.render_to_response(
            {
                "application": Application.objects.get(client_id=credentials["client_id"]),
                "scopes": [(scope, words[scope]) for scope in scopes],
                "memberships": self._memberships(request),
                "destination": target.netloc,
                "error": error,
            },
            status=HTTPStatus.BAD_REQUEST if error else HTTPStatus.OK,
        )
        # Browsers hold the redirect after a form to form-action as well.
        sources = {"form-action": ["'self'", f"{target.scheme}://{target.netloc}"]}
        response._csp_update = sources  # type: ignore[attr-defined]  # django-csp's own way
        return response

    def _memberships(self, request: HttpRequest) -> Any:
        return (
            Membership.objects.filter(user=cast(Any, request.user))
            .select_related("organisation")
            .order_by("organisation__name")
        )

    def _audit(
        self,
        request: HttpRequest,
        event: audit.Event,
        application: Application,
        membership: Membership | None,
    ) -> None:
        audit.record(
            request,
            event,
            organisations=[membership.organisation_id] if membership else [],
            actor=cast(Any, request.user).public_id,
            client_id=application.client_id,
            detail={"scopes": request.GET.get("scope", "").split()},
        )

    def error_response(self, error: Any, application: Any, **kwargs: Any) -> HttpResponseBase:
        """Back to the client where its redirect URI is known to be its own; a page otherwise."""
        redirect, context = super(BaseAuthorizationView, self).error_response(error, **kwargs)
        if redirect:
            return self.redirect(context["url"], application)
        self.template_name = "oauth/error.html"
        return self.render_to_response({"error": context["error"].error}, status=context["error"].status_code)

    def redirect(self, redirect_to: str, application: Any) -> HttpResponseBase:
        """Every authorization response names its issuer (RFC 9207), refusals too; 303 after a POST."""
        if "iss=" not in urlsplit(redirect_to).query:
            redirect_to = add_params_to_uri(redirect_to, [("iss", settings.PUBLIC_URL)])
        response = super().redirect(redirect_to, application)
        if self.request.method == "POST":
            response.status_code = HTTPStatus.SEE_OTHER
        return cast(HttpResponseBase, response)


class TokenView(LibraryTokenView):
    """RFC 6749 section 3.2, within the request's transaction: tokens and the spent code commit together."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        refused = _gate(request)
        if refused is None and request.POST.get("grant_type", "") not in GRANT_TYPES:
            refused = _oauth_error("unsupported_grant_type", HTTPStatus.BAD_REQUEST)
        response = refused or self.authorization_flow_token_response(request)
        return _finish(request, response, audit.Event.TOKEN_REFUSED)


class RevokeTokenView(LibraryRevokeView):
    """RFC 7009."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        refused = _gate(request)
        if refused is not None:
            return _finish(request, refused, audit.Event.TOKEN_REFUSED)
        checksum = digest(request.POST.get("token", ""))
        token = (
            AccessToken.objects.select_related("user", "application").filter(token_checksum=checksum).first()
            or RefreshToken.objects.select_related("user", "application")
            .filter(token_checksum=checksum, revoked=None)
            .first()
        )
        response = super().post(request, *args, **kwargs)
        if token is not None and response.status_code == HTTPStatus.OK and _is_gone(token):
            audit.record(
                request,
                audit.Event.TOKEN_REVOKED,
                organisations=[token.organisation_id],
                actor=token.user.public_id if token.user else None,
                client_id=token.application.client_id,
            )
        return _finish(request, response, audit.Event.TOKEN_REFUSED)


class ServerMetadataView(View):
    """RFC 8414: exactly what is on."""

    def get(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse(
            {
                "issuer": settings.PUBLIC_URL,
                "authorization_endpoint": settings.PUBLIC_URL + reverse("oauth2_provider:authorize"),
                "token_endpoint": settings.PUBLIC_URL + reverse("oauth2_provider:token"),
                "revocation_endpoint": settings.PUBLIC_URL + reverse("oauth2_provider:revoke-token"),
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": sorted(GRANT_TYPES),
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": _auth_methods(),
                "revocation_endpoint_auth_methods_supported": _auth_methods(),
                "scopes_supported": list(all_scopes()),
                "authorization_response_iss_parameter_supported": True,
                "service_documentation": f"{settings.PUBLIC_URL}/docs",
            }
        )


class ResourceMetadataView(View):
    """RFC 9728."""

    def get(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse(
            {
                "resource": settings.PUBLIC_URL,
                "authorization_servers": [settings.PUBLIC_URL],
                "scopes_supported": list(all_scopes()),
                "bearer_methods_supported": ["header"],
                "resource_documentation": f"{settings.PUBLIC_URL}/docs",
            }
        )


@receiver(user_logged_in)
def remember_authentication(request: HttpRequest, **kwargs: Any) -> None:
    """auth_time comes from this session: last_login moves with every other session of the person's."""
    request.session["auth_time"] = timezone.now().isoformat()


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


def _auth_methods() -> list[str]:
    return ["none", "client_secret_basic", "client_secret_post"]


def _gate(request: HttpRequest) -> HttpResponse | None:
    """What the library lets through at its form endpoints: floods, other body types, repeats and NUL."""
    address = f"address:{throttle_key(client_address(request))}"
    refused = limit(request, ("token", address), fail_closed=False)
    if refused is not None:
        return refused
    if request.content_type != "application/x-www-form-urlencoded" or request.GET:
        return _oauth_error("invalid_request", HTTPStatus.BAD_REQUEST)
    for name, values in request.POST.lists():
        if len(values) > 1 or "\x00" in name + values[0]:
            return _oauth_error("invalid_request", HTTPStatus.BAD_REQUEST)
    return None


def _finish(request: HttpRequest, response: HttpResponseBase, event: audit.Event) -> HttpResponseBase:
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        # RFC 6749 section 5.2: the challenge is of the client's scheme, not Bearer.
        response.headers["WWW-Authenticate"] = 'Basic realm="oauth"'
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        request.audit_event = event  # type: ignore[attr-defined]  # read by the audit middleware
    return response


def _oauth_error(error: str, status: HTTPStatus) -> HttpResponse:
    return JsonResponse({"error": error}, status=status)


def _is_gone(token: AccessToken | RefreshToken) -> bool:
    if isinstance(token, AccessToken):
        return not AccessToken.objects.filter(pk=token.pk).exists()
    return RefreshToken.objects.filter(pk=token.pk).exclude(revoked=None).exists()
