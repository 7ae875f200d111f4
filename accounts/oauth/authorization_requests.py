"""Authorization requests: what a client asks the person for, validated in one place for both ways of asking.

Threat: a parameter that is said twice, or left out, or means more here than there: PKCE dropped or
weakened, an answer in a fragment, consent skipped, tokens for another resource, a request that the person's
browser changed on the way. Guarantee: the library's validation, then ours, over the same parameters; those
of a pushed request come from the client itself. A faulty redirect URI or client is told to the person;
everything else to the client, with the issuer.

RFC 6749 section 4.1.1, RFC 7636, RFC 8707, RFC 9126, RFC 9449 section 10, OpenID Connect Core section
3.1.2.1 (prompt, max_age, acr_values). ASVS 10.4.1, 10.4.6, 10.4.7.
"""

import copy
import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, QueryDict
from oauth2_provider.exceptions import FatalClientError, OAuthToolkitError
from oauthlib.oauth2.rfc6749 import errors

from accounts.oauth.authentication_context import LEVELS
from accounts.oauth.dpop import THUMBPRINT
from accounts.oauth.models import Application
from accounts.oauth.validators import CHALLENGE

PROMPTS = ("none", "login", "consent")
MAX_AGE_DIGITS = 9
REPEATABLE = frozenset({"resource"})


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A valid one. ``request`` is what the library reads: a GET with all of the parameters."""

    request: HttpRequest
    application: Application
    scopes: list[str]
    redirect_uri: str
    state: str | None
    resource: list[str]
    dpop_jkt: str
    prompt: frozenset[str]
    max_age: int | None
    acr_values: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Names this request among those of one session."""
        return hashlib.sha256(self.request.GET.urlencode().encode()).hexdigest()

    @property
    def origin(self) -> str:
        """Of the redirect URI, as a policy for content names it."""
        target = urlsplit(self.redirect_uri)
        return f"{target.scheme}://{target.netloc}"

    @property
    def wants_authentication(self) -> bool:
        """Whether a session that is there may not be enough."""
        return "login" in self.prompt or self.max_age is not None or bool(self.acr_values)

    def error(self, error: errors.OAuth2Error) -> OAuthToolkitError:
        """``error``, to be told to the client."""
        error.state = self.state
        return OAuthToolkitError(error, redirect_uri=self.redirect_uri)

    def credentials(self, **more: Any) -> dict[str, Any]:
        """What the library's create_authorization_response takes."""
        return {
            "client_id": self.application.client_id,
            "redirect_uri": self.redirect_uri,
            "response_type": "code",
            "state": self.state,
            "code_challenge": self.request.GET["code_challenge"],
            "code_challenge_method": self.request.GET["code_challenge_method"],
            "resource": self.resource,
            "dpop_jkt": self.dpop_jkt,
            **more,
        }


def with_parameters(request: HttpRequest, parameters: QueryDict) -> HttpRequest:
    """``request`` as if it were a GET with just these parameters."""
    other = copy.copy(request)
    other.method = "GET"
    other.META = {**request.META, "QUERY_STRING": parameters.urlencode()}
    other.GET = parameters  # type: ignore[assignment]  # mutable or not
    other.POST = QueryDict()
    return other


def validated(core: Any, request: HttpRequest, *, pushed: bool) -> AuthorizationRequest:
    """The authorization request in ``request.GET``. ``core`` is the library's.

    Raises FatalClientError where the person has to be told, else OAuthToolkitError with the redirect URI.
    """
    parameters = request.GET
    if not parameters.get("redirect_uri"):
        # The library would fill in the only one registered; OAuth 2.1 and FAPI want it said.
        raise FatalClientError(errors.MissingRedirectURIError())
    if _is_malformed(parameters):
        raise FatalClientError(errors.InvalidRequestFatalError(description="Repeated parameter or NUL."))
    scopes, credentials = core.validate_authorization_request(request)
    redirect_uri, state = credentials["redirect_uri"], credentials.get("state")
    application: Application = credentials["request"].client
    fault = _fault(parameters, application, pushed=pushed)
    if fault is not None:
        fault.state = state
        raise OAuthToolkitError(fault, redirect_uri=redirect_uri)
    max_age = parameters.get("max_age")
    return AuthorizationRequest(
        request=request,
        application=application,
        scopes=scopes,
        redirect_uri=redirect_uri,
        state=state,
        resource=parameters.getlist("resource") or application.permitted_audiences,
        dpop_jkt=parameters.get("dpop_jkt", ""),
        prompt=frozenset(parameters.get("prompt", "").split()),
        max_age=None if max_age is None else int(max_age),
        acr_values=tuple(parameters.get("acr_values", "").split()),
    )


def _is_malformed(parameters: QueryDict) -> bool:
    return any(
        (len(values) > 1 and name not in REPEATABLE) or any("\x00" in text for text in (name, *values))
        for name, values in parameters.lists()
    )


def _fault(parameters: QueryDict, application: Application, *, pushed: bool) -> errors.OAuth2Error | None:
    """What the library does not look at."""
    if parameters.get("code_challenge_method") != "S256" or not CHALLENGE.fullmatch(
        parameters.get("code_challenge", "")
    ):
        return errors.InvalidRequestError(description="code_challenge must be an S256 challenge.")
    if parameters.get("response_mode", "query") != "query":
        return errors.InvalidRequestError(description="response_mode must be query.")
    if "request" in parameters:
        return errors.CustomOAuth2Error(
            error="request_not_supported", description="Push the request instead."
        )
    if application.require_pushed_authorization_requests and not pushed:
        return errors.InvalidRequestError(description="This client has to push its authorization requests.")
    if not set(parameters.getlist("resource")) <= set(application.permitted_audiences):
        return errors.CustomOAuth2Error(
            error="invalid_target", description="resource is not one of this client's."
        )
    if "dpop_jkt" in parameters and not THUMBPRINT.fullmatch(parameters.get("dpop_jkt", "")):
        return errors.InvalidRequestError(description="dpop_jkt must be a SHA-256 thumbprint.")
    return _fault_in_authentication(parameters)


def _fault_in_authentication(parameters: QueryDict) -> errors.OAuth2Error | None:
    prompts = parameters.get("prompt", "").split()
    if not set(prompts) <= set(PROMPTS) or ("none" in prompts and len(prompts) > 1):
        return errors.InvalidRequestError(description=f"prompt must be one of {', '.join(PROMPTS)}.")
    max_age = parameters.get("max_age", "0")
    if not (max_age.isascii() and max_age.isdigit() and len(max_age) <= MAX_AGE_DIGITS):
        return errors.InvalidRequestError(description="max_age must be seconds.")
    asked = parameters.get("acr_values", "").split()
    if asked and not set(asked) & set(LEVELS):
        return errors.CustomOAuth2Error(
            error="unmet_authentication_requirements", description=f"acr_values are {' '.join(LEVELS)}."
        )
    return None
