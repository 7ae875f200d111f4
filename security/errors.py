"""Errors: one shape for every refusal and failure, and nothing internal in any of them.

Threat: stack traces, SQL, framework pages and differing shapes tell an attacker what runs where, and
whether an object exists. Guarantee: every answer of 400 and above is RFC 9457 problem details
(``application/problem+json``) whatever ``Accept`` says: DRF's exceptions, Django's own (unknown route, bad
Host, oversize body, CSRF) and everything unforeseen, which is a 500 with the request id and nothing else.
The server's log has the detail. The OAuth endpoints keep the JSON of RFC 6749, and the few HTML pages
render their own templates.

``type`` resolves in this deployment: ``/problems/<name>`` explains each. OWASP API8:2023. ASVS 16.5.1,
16.5.2, 4.1.1. RFC 9457, RFC 6750 section 3.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any, ClassVar

import orjson
from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import connection, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from rest_framework import exceptions
from rest_framework.request import Request

from security.request_body import BodyNotReceived
from security.strict_input import problem_errors
from security.throttling import Decision

CONTENT_TYPE = "application/problem+json"
REALM = "api"
#: What proofs of possession and client assertions may be signed with: RFC 9449, FAPI 2.0 section 5.4.
SIGNATURE_ALGORITHMS = ("ES256", "PS256", "EdDSA")
#: Registered with IANA by the RateLimit fields draft.
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
REFUSED_METHODS = frozenset({"TRACE", "CONNECT"})
#: RFC 9110's, where Python before 3.13 has the older ones: the answers do not tell its version.
PHRASES = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large",
    HTTPStatus.REQUEST_URI_TOO_LONG: "URI Too Long",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "Range Not Satisfiable",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Unprocessable Content",
}

logger = logging.getLogger(__name__)


class Problem(exceptions.APIException):
    """A refusal with a type of its own. Subclasses set the class attributes; ``extra`` adds members.

    ``slug`` names the page under /problems/; an empty one gives ``about:blank``.
    """

    status_code = HTTPStatus.BAD_REQUEST
    default_detail = "The request cannot be served."
    slug: ClassVar[str] = ""
    title: ClassVar[str] = ""
    meaning: ClassVar[str] = ""

    def extra(self) -> dict[str, Any]:
        """Further members of the problem object."""
        return {}

    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        return {}

    def challenge(self) -> dict[str, str]:
        """Parameters of the WWW-Authenticate challenge, which is of the scheme that the caller used."""
        return {}


class InvalidInput(Problem):
    """What a ValidationError becomes."""

    slug = "invalid-input"
    title = "Invalid input"
    default_detail = "The request does not match the schema. Each fault is in errors."
    meaning = (
        "A body field, given by JSON Pointer, or a query parameter is unknown, missing, of another type or "
        "out of range. Nothing was written."
    )


class InsufficientScope(Problem):
    """The token lacks the scope. RFC 6750 section 3.1."""

    status_code = HTTPStatus.FORBIDDEN
    slug = "insufficient-scope"
    title = "Insufficient scope"
    default_detail = "The access token does not carry the scope that this operation needs."
    meaning = "Ask the authorization server for a token with the scope that WWW-Authenticate names."

    def __init__(self, scopes: tuple[str, ...]) -> None:
        super().__init__()
        self.scopes = scopes

    def challenge(self) -> dict[str, str]:
        return {"error": "insufficient_scope", "scope": " ".join(self.scopes)}


class InsufficientAuthentication(Problem):
    """The person's authentication is too old, or too weak, for this operation. RFC 9470 section 3."""

    status_code = HTTPStatus.UNAUTHORIZED
    slug = "insufficient-user-authentication"
    title = "Insufficient user authentication"
    default_detail = "This operation needs a more recent or a stronger authentication of the person."
    meaning = (
        "Send the person through the authorization endpoint again, with the max_age and acr_values that "
        "WWW-Authenticate names, and call with the new token."
    )

    def __init__(self, parameters: dict[str, str]) -> None:
        super().__init__()
        self.parameters = parameters

    def challenge(self) -> dict[str, str]:
        return {"error": "insufficient_user_authentication", **self.parameters}


class RoleNotPermitted(Problem):
    """The caller's role may not call the function at all."""

    status_code = HTTPStatus.FORBIDDEN
    slug = "role-not-permitted"
    title = "Role not permitted"
    default_detail = "Your role in this organisation does not permit this operation."
    meaning = (
        "The membership's role, read on this very request, is not among those that the operation admits."
    )


class FieldProblem(Problem):
    """A refusal of single fields of the body."""

    code: ClassVar[str] = ""

    def __init__(self, fields: Iterable[str]) -> None:
        super().__init__()
        self.fields = sorted(fields)

    def extra(self) -> dict[str, Any]:
        detail = str(self.default_detail)
        return {
            "errors": [{"pointer": f"/{name}", "code": self.code, "detail": detail} for name in self.fields]
        }


class FieldNotPermitted(FieldProblem):
    """A field that this role or token may not write."""

    status_code = HTTPStatus.FORBIDDEN
    code = "not-permitted"
    slug = "field-not-permitted"
    title = "Field not permitted"
    default_detail = "Your role, or the token's scope, does not permit writing this field."
    meaning = "The operation is open to the caller, and the fields in errors are not. Nothing was written."


class FieldFrozen(FieldProblem):
    """A field that is settled in the object's present state."""

    status_code = HTTPStatus.CONFLICT
    code = "frozen"
    slug = "field-frozen"
    title = "Field frozen"
    default_detail = "The object's present state does not permit changing this field."
    meaning = "The fields in errors were settled by a transition of the object. Nothing was written."


class StateConflict(Problem):
    """The object is not in a state from which the action is possible."""

    status_code = HTTPStatus.CONFLICT
    slug = "state-conflict"
    title = "State conflict"
    default_detail = "The object's present state does not permit this operation."
    meaning = "Read the object again: another transition has happened, or this one is not possible from here."

    def __init__(self, state: str) -> None:
        super().__init__()
        self.state = state

    def extra(self) -> dict[str, Any]:
        return {"status_of_object": self.state}


class Duplicate(Problem):
    """A unique value is taken."""

    status_code = HTTPStatus.CONFLICT
    slug = "duplicate"
    title = "Duplicate"
    default_detail = "An object with this unique value exists."
    meaning = "A unique constraint refused the write. Nothing was written."


class TooManyRequests(Problem):
    """A rate limit is used up."""

    status_code = HTTPStatus.TOO_MANY_REQUESTS
    title = "Quota exceeded"
    default_detail = "The rate limit is used up. Retry-After says when to try again."

    def __init__(self, decision: Decision) -> None:
        super().__init__()
        self.decision = decision

    def extra(self) -> dict[str, Any]:
        return {"violated-policies": list(self.decision.violated)}

    def headers(self) -> dict[str, str]:
        return self.decision.headers()


class DependencyUnavailable(Problem):
    """PostgreSQL or Valkey is out of reach and the request cannot be decided without it."""

    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "dependency-unavailable"
    title = "Dependency unavailable"
    default_detail = "A service that this request depends on is out of reach. Nothing was decided."
    meaning = "The service refuses rather than guesses. Try again after Retry-After."

    def __init__(self, *, retry_after: int = 1) -> None:
        super().__init__()
        self.retry_after = retry_after

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class BodyTimeout(Problem):
    """The body did not come. RFC 9110 section 15.5.9."""

    status_code = HTTPStatus.REQUEST_TIMEOUT
    slug = "body-timeout"
    title = "Body timeout"
    default_detail = "The body did not come in time. Nothing was done."
    meaning = "The body that was announced did not come, or paused. The request may be sent again."


class InvalidToken(exceptions.AuthenticationFailed):
    """A token was presented that cannot be used: unknown, expired, revoked, or its user is gone."""

    default_detail = "The access token is unknown, expired or revoked."


class InvalidCredentials(Problem):
    """Malformed credentials, or two at once. RFC 6750 section 3.1, invalid_request."""

    slug = "invalid-credentials"
    title = "Invalid credentials"
    default_detail = "Send exactly one Authorization header: Bearer or DPoP, and the access token."
    meaning = "The Authorization header is malformed, or a token or its proof was sent in more than one way."

    def challenge(self) -> dict[str, str]:
        return {"error": "invalid_request"}


class InvalidProof(Problem):
    """The DPoP proof does not fit the request, the token or its key, or was used. RFC 9449 section 7.1."""

    status_code = HTTPStatus.UNAUTHORIZED
    slug = "invalid-dpop-proof"
    title = "Invalid DPoP proof"
    default_detail = "The DPoP proof does not fit this request, the token or its key, or was used before."
    meaning = "Make a new proof for every request, with the key that the token is bound to."

    def challenge(self) -> dict[str, str]:
        return {"error": "invalid_dpop_proof"}


class UseNonce(Problem):
    """The proof has no nonce of the server's, or an old one. RFC 9449 section 9."""

    status_code = HTTPStatus.UNAUTHORIZED
    slug = "use-dpop-nonce"
    title = "Use the DPoP nonce"
    default_detail = "Make a new DPoP proof with the nonce of the DPoP-Nonce header."
    meaning = "Each answer brings a fresh nonce in DPoP-Nonce. Put the latest into the next proof."

    def challenge(self) -> dict[str, str]:
        return {"error": "use_dpop_nonce"}


def problem_response(
    request: HttpRequest,
    status: int,
    *,
    detail: str = "",
    slug: str = "",
    type_uri: str = "",
    title: str = "",
    extra: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    """Problem details as an HttpResponse. Without ``slug`` or ``type_uri`` the type is about:blank."""
    phrase = PHRASES.get(HTTPStatus(status), HTTPStatus(status).phrase)
    if not type_uri:
        type_uri = f"{settings.PUBLIC_URL}/problems/{slug}" if slug else "about:blank"
    body: dict[str, Any] = {
        "type": type_uri,
        "title": title if type_uri != "about:blank" else phrase,
        "status": int(status),
        "detail": detail or phrase,
    }
    request_id = getattr(request, "request_id", None)
    if request_id is not None:
        body["instance"] = f"urn:uuid:{request_id}"
    body.update(extra or {})
    response = HttpResponse(orjson.dumps(body), status=status, content_type=CONTENT_TYPE, headers=headers)
    response.problem = slug or phrase.lower().replace(" ", "-")  # type: ignore[attr-defined]  # for the audit
    return response


def exception_handler(exc: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's EXCEPTION_HANDLER. Returns None for what is unforeseen: Django's 500 handler takes it."""
    drf_request: Request = context["request"]
    request: HttpRequest = drf_request._request
    if isinstance(exc, Http404):
        exc = exceptions.NotFound()
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    elif isinstance(exc, BodyNotReceived):
        exc = BodyTimeout()
    if not isinstance(exc, exceptions.APIException):
        return None
    # The request's transaction is undone: a refused request has written nothing.
    if connection.in_atomic_block:
        transaction.set_rollback(True)
    return render(request, exc)


def render(request: HttpRequest, exc: exceptions.APIException) -> HttpResponse:
    """``exc`` as problem details; for DRF's handler and for the views outside DRF."""
    if isinstance(exc, exceptions.ValidationError):
        errors = problem_errors(exc, kind=getattr(exc, "kind", "body"))
        invalid = InvalidInput()
        return problem_response(
            request,
            invalid.status_code,
            detail=str(invalid.detail),
            slug=invalid.slug,
            title=invalid.title,
            extra={"errors": errors},
        )
    if isinstance(exc, TooManyRequests):
        return problem_response(
            request,
            exc.status_code,
            detail=str(exc.detail),
            type_uri=QUOTA_EXCEEDED,
            title=exc.title,
            extra=exc.extra(),
            headers=exc.headers(),
        )
    if isinstance(exc, Problem):
        headers = exc.headers()
        if parameters := exc.challenge():
            headers["WWW-Authenticate"] = _challenge(_scheme(request), **parameters)
        return problem_response(
            request,
            exc.status_code,
            detail=str(exc.detail),
            slug=exc.slug,
            title=exc.title,
            extra=exc.extra(),
            headers=headers,
        )
    headers = {}
    if isinstance(exc, InvalidToken):
        headers["WWW-Authenticate"] = _challenge(_scheme(request), error="invalid_token")
    elif isinstance(exc, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        headers["WWW-Authenticate"] = f"{_challenge('Bearer')}, {_challenge('DPoP')}"
    return problem_response(request, exc.status_code, detail=_detail(exc), headers=headers)


def _scheme(request: HttpRequest) -> str:
    """The caller's: whoever sent a DPoP token is told in DPoP's terms what was wrong with it."""
    return "DPoP" if request.META.get("HTTP_AUTHORIZATION", "")[:5].lower() == "dpop " else "Bearer"


def _challenge(scheme: str, **parameters: str) -> str:
    """One challenge, RFC 9110 section 11.6.1. The values are this service's own."""
    named = {"realm": REALM, **parameters}
    if scheme == "DPoP":
        named["algs"] = " ".join(SIGNATURE_ALGORITHMS)
    return f"{scheme} " + ", ".join(f'{name}="{value}"' for name, value in named.items())


def _detail(exc: exceptions.APIException) -> str:
    """A constant sentence per status: DRF's own quote the request (method, media type)."""
    constant = {
        HTTPStatus.NOT_FOUND: "There is no such object, or you may not see it.",
        HTTPStatus.METHOD_NOT_ALLOWED: "This route does not have this method. Allow lists those it has.",
        HTTPStatus.NOT_ACCEPTABLE: "This operation answers application/json only.",
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Send application/json in UTF-8, not encoded.",
        HTTPStatus.UNAUTHORIZED: "Send an access token in the Authorization header.",
    }
    if isinstance(exc, InvalidToken):
        return str(exc.detail)
    return constant.get(HTTPStatus(exc.status_code), str(exc.detail))


class ProblemMiddleware:
    """Turns every error answer from below that is not yet in a contract's shape into problem details."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method in REFUSED_METHODS:
            return problem_response(request, HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, POST"})
        response = self.get_response(request)
        if response.status_code < HTTPStatus.BAD_REQUEST or _is_in_shape(response):
            return response
        kept = {name: response.headers[name] for name in ("Allow", "Retry-After") if name in response.headers}
        return problem_response(request, response.status_code, headers=kept)


def _is_in_shape(response: HttpResponseBase) -> bool:
    content_type = response.headers.get("Content-Type", "").partition(";")[0]
    # A page of ours renders a template; OAuth answers are application/json.
    return content_type in {CONTENT_TYPE, "application/json"} or hasattr(response, "template_name")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400: bad Host, malformed request, and a body that is too large or was not received."""
    if isinstance(exception, RequestDataTooBig):
        return problem_response(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    if isinstance(exception, BodyNotReceived):
        return render(request, BodyTimeout())
    return problem_response(request, HTTPStatus.BAD_REQUEST)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler403."""
    return problem_response(request, HTTPStatus.FORBIDDEN)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler404: an unknown route."""
    return problem_response(request, HTTPStatus.NOT_FOUND, detail="There is no such route.")


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500: anything unforeseen. The log has the exception, under the same request id."""
    return problem_response(
        request,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        detail="Something went wrong. Give the instance to the operators: their log has the rest.",
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """CSRF_FAILURE_VIEW. A page's form is sent with POST: what has another method is 405, token or not."""
    if request.method != "POST" and request.resolver_match is not None:
        methods = getattr(request.resolver_match.func, "methods", ("GET", "HEAD", "POST"))
        return problem_response(request, HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": ", ".join(methods)})
    logger.warning("CSRF check failed", extra={"reason": reason})
    return problem_response(
        request,
        HTTPStatus.FORBIDDEN,
        detail="The form's token is missing or stale. Load the page again and resend.",
    )


def problem_types() -> dict[str, type[Problem]]:
    """Every problem type with a page of its own, by slug."""

    def descend(problem: type[Problem]) -> Iterator[type[Problem]]:
        for child in problem.__subclasses__():
            yield child
            yield from descend(child)

    return {problem.slug: problem for problem in descend(Problem) if problem.slug}


def problem_page(request: HttpRequest, slug: str) -> HttpResponse:
    """What a ``type`` URI resolves to: title, status and meaning, as JSON."""
    problem = problem_types().get(slug)
    if problem is None:
        raise Http404
    return HttpResponse(
        orjson.dumps(
            {
                "type": f"{settings.PUBLIC_URL}/problems/{slug}",
                "title": problem.title,
                "status": int(problem.status_code),
                "meaning": problem.meaning,
            }
        ),
        content_type="application/json",
    )
