"""What the endpoints that clients call by themselves have in common: token, revoke, par, introspect.

Threat: a form that is read in two ways, a flood, an answer that a cache keeps, a failure that shows as a
page. Guarantee: form-encoded POST bodies only, no parameter twice and none in the URL, no NUL; limited by
address; a DPoP proof, where one is sent, is verified and used up; refusals are RFC 6749 JSON with the
challenge of the client's own scheme, and are audited.

RFC 6749 section 5.2, RFC 9449 section 5. ASVS 10.4.10, 2.4.1.
"""

from http import HTTPStatus
from typing import Any, cast

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import View
from oauth2_provider.views.mixins import OAuthLibMixin
from oauthlib.common import Request as OAuthRequest
from oauthlib.oauth2 import InvalidClientError, OAuth2Error

from accounts.oauth.dpop import HEADER, InvalidDPoPProof, NonceRequired, Proof
from accounts.oauth.models import Application
from accounts.oauth.validators import TooManyTokens
from accounts.views import limit
from security import audit, throttling
from security.client_ip import client_address, throttle_key
from security.errors import DependencyUnavailable, TooManyRequests, render

#: What may be sent more than once (RFC 8707 section 2).
REPEATABLE = frozenset({"resource"})


@method_decorator(csrf_exempt, name="dispatch")  # for clients: own credentials, no cookie
class Endpoint(OAuthLibMixin, View):
    """Subclasses define ``answer``."""

    http_method_names = ["post"]
    takes_proof = False

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = self._guarded(request)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            # RFC 6749 section 5.2: the challenge is of the client's scheme, not Bearer.
            response.headers["WWW-Authenticate"] = 'Basic realm="oauth"'
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            request.audit_event = audit.Event.TOKEN_REFUSED  # type: ignore[attr-defined]  # read by the middleware
        return response

    def answer(self, request: HttpRequest) -> HttpResponseBase:
        """The answer to a form that is well-formed. May raise OAuth2Error."""
        raise NotImplementedError  # each endpoint has its own

    def client(self, request: HttpRequest) -> Application:
        """The client, authenticated as it is registered to be. Raises OAuth2Error."""
        core = self.get_oauthlib_core()
        uri, method, body, headers = core._extract_params(request)
        asked = OAuthRequest(uri, method, body, headers)
        core.server._raise_on_invalid_client(asked)
        if asked.client_id not in {None, asked.client.client_id}:
            raise InvalidClientError(request=asked)
        return cast(Application, asked.client)

    def _guarded(self, request: HttpRequest) -> HttpResponseBase:
        try:
            return _gate(request) or self._proof(request) or self.answer(request)
        except OAuth2Error as error:
            return HttpResponse(error.json, status=error.status_code, content_type="application/json")
        except TooManyTokens as refusal:
            return render(request, TooManyRequests(refusal.decision))
        except throttling.LimiterUnavailable as outage:
            return render(request, DependencyUnavailable(retry_after=outage.retry_after))

    def _proof(self, request: HttpRequest) -> HttpResponse | None:
        """The refusal of the request's DPoP proof, or None, with its key at ``request.dpop_jkt``."""
        if HEADER not in request.META or not self.takes_proof:
            return None
        try:
            proof = Proof.of(request)
        except InvalidDPoPProof:
            return oauth_error("invalid_dpop_proof")
        except NonceRequired:
            return oauth_error("use_dpop_nonce")
        if throttling.check([], fail_closed=True, once=[proof.once]).replayed:
            return oauth_error("invalid_dpop_proof")
        request.dpop_jkt = proof.jkt  # type: ignore[attr-defined]  # read by accounts.oauth.backends
        return None


def oauth_error(error: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> HttpResponse:
    """RFC 6749 section 5.2."""
    return JsonResponse({"error": error}, status=status)


def _gate(request: HttpRequest) -> HttpResponse | None:
    """What the library lets through at its form endpoints: floods, other body types, repeats and NUL."""
    address = f"address:{throttle_key(client_address(request))}"
    refused = limit(request, ("token", address), fail_closed=False)
    if refused is not None:
        return refused
    if request.content_type != "application/x-www-form-urlencoded" or request.GET:
        return oauth_error("invalid_request")
    for name, values in request.POST.lists():
        if (len(values) > 1 and name not in REPEATABLE) or any("\x00" in text for text in (name, *values)):
            return oauth_error("invalid_request")
    return None
