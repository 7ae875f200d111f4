"""Pushed authorization requests: the client sends its request here itself, and the browser carries a name
for it.

Threat: the person's browser, or what runs in it, changes the request on the way: another scope, another
redirect, a weaker challenge; a request that is seen by others, or used again. Guarantee: the client is
authenticated and the request validated before there is a ``request_uri``. It is random, stored as a digest,
good for this client alone and for ``LIFETIME``. The first browser that brings it keeps it, for
``DECISION_LIFETIME``, and the person's decision ends it. A client registered so can ask in no other way.

RFC 9126. ASVS 10.4.8.
"""

import secrets
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponseBase, JsonResponse, QueryDict
from django.utils import timezone
from oauth2_provider.exceptions import FatalClientError, OAuthToolkitError
from oauthlib.oauth2.rfc6749 import errors

from accounts.oauth.authorization_requests import validated, with_parameters
from accounts.oauth.backends import proven_key
from accounts.oauth.endpoints import Endpoint, oauth_error
from accounts.oauth.models import PushedRequest
from accounts.oauth.validators import digest

PREFIX = "urn:ietf:params:oauth:request_uri:"
LIFETIME = timedelta(seconds=60)
#: From the first use: time to sign in and to decide.
DECISION_LIFETIME = timedelta(minutes=10)
MAX_PARAMETERS_LENGTH = 8192
SESSION_KEY = "pushed_requests"
MAX_IN_SESSION = 8
CREDENTIALS = ("client_secret", "client_assertion", "client_assertion_type")


class InvalidRequestUriError(FatalClientError):
    """Unknown, expired, used, of another client or in another browser. Told to the person, on a page."""

    def __init__(self) -> None:
        super().__init__(errors.CustomOAuth2Error(error="invalid_request_uri"))


class PushedRequestView(Endpoint):
    """RFC 9126 section 2."""

    takes_proof = True

    def answer(self, request: HttpRequest) -> HttpResponseBase:
        client = self.client(request)
        parameters = request.POST.copy()
        for name in CREDENTIALS:
            parameters.pop(name, None)
        parameters["client_id"] = client.client_id
        key = proven_key(request)
        if "request_uri" in parameters or (key and parameters.setdefault("dpop_jkt", key) != key):
            return oauth_error("invalid_request")
        asked = with_parameters(request, parameters)
        asked.path = asked.path_info = "/oauth/authorize"
        try:
            validated(self.get_oauthlib_core(), asked, pushed=True)
        except OAuthToolkitError as error:
            return JsonResponse(_told(error.oauthlib_error), status=HTTPStatus.BAD_REQUEST)
        text = parameters.urlencode()
        if len(text) > MAX_PARAMETERS_LENGTH:
            return oauth_error("invalid_request", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        reference = secrets.token_urlsafe(32)
        PushedRequest.objects.create(
            reference=digest(reference),
            application=client,
            parameters=text,
            expires=timezone.now() + LIFETIME,
        )
        answer = {"request_uri": PREFIX + reference, "expires_in": int(LIFETIME.total_seconds())}
        return JsonResponse(answer, status=HTTPStatus.CREATED)


def present(request: HttpRequest, *, now: datetime) -> QueryDict:
    """The parameters behind ``request_uri``, this session's from now on. Raises InvalidRequestUriError."""
    reference = _reference(request)
    mine: list[str] = request.session.get(SESSION_KEY, [])
    row = (
        PushedRequest.objects.select_for_update(of=("self",))
        .filter(reference=reference, application__client_id=request.GET.get("client_id", ""), expires__gt=now)
        .first()
    )
    if row is None or (row.presented and reference not in mine):
        raise InvalidRequestUriError
    if not row.presented:
        row.presented, row.expires = True, now + DECISION_LIFETIME
        row.save(update_fields=["presented", "expires"])
        request.session[SESSION_KEY] = [*mine, reference][-MAX_IN_SESSION:]
    return QueryDict(row.parameters)


def spend(request: HttpRequest) -> bool:
    """The decision is made. False if it was made before, by a second click of the same form."""
    deleted, _ = PushedRequest.objects.filter(reference=_reference(request)).delete()
    return bool(deleted)


def _reference(request: HttpRequest) -> str:
    """The digest of what follows the prefix. Raises InvalidRequestUriError."""
    uri = request.GET.get("request_uri", "")
    if not uri.startswith(PREFIX) or request.GET.keys() - {"client_id", "request_uri"}:
        raise InvalidRequestUriError
    if any(len(values) > 1 or "\x00" in values[0] for values in dict(request.GET.lists()).values()):
        raise InvalidRequestUriError
    return digest(uri.removeprefix(PREFIX))


def _told(error: Any) -> dict[str, str]:
    told = {"error": error.error}
    return {**told, "error_description": error.description} if error.description else told
