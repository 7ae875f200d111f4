"""Authentication of the API: the header only, one statement, which also sets the tenant.

The library's own class reads ``request.POST``, so it parses bodies before the caller is known and accepts
tokens from them; and it costs a query for each relation. Here the Authorization header is the only place,
and one SELECT finds the token by digest, joins the client, the person and their membership, and sets what
security.row_security goes by for the rest of the transaction in its own select list. No row, no tenant: an
expired token, a token for another resource, an inactive person and a former member all look like an unknown
token, and so does a service client whose responsible person is but a contact. So does a token that is bound
to a key and comes as Bearer, or one that is not and comes as DPoP (accounts.oauth.dpop). A role that needs a
second factor is not had by a token that came from a session without: whoever is promoted signs in anew.

RFC 6750, RFC 8707, RFC 9449. OWASP API2:2023. ASVS 6.3.4, 10.3.1, 10.3.2, 10.3.5, 14.2.1.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import connection
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.models import User
from accounts.oauth.authentication_context import STRONG
from accounts.oauth.dpop import InvalidDPoPProof, NonceRequired, Proof, is_scheme
from accounts.oauth.validators import digest
from accounts.second_factor import roles_requiring_mfa
from security.errors import (
    REALM,
    InsufficientAuthentication,
    InvalidCredentials,
    InvalidProof,
    InvalidToken,
    UseNonce,
)
from security.scopes import CONTACT_ROLE, SERVICE_ROLE, Access
from security.throttling import Once

#: RFC 6750 b64token, within what this server issues.
CREDENTIALS = re.compile(r"(?:Bearer|DPoP) ([A-Za-z0-9\-._~+/]{1,512}=*)", re.IGNORECASE)

# Raw SQL, because the planner's work and the ORM's are paid on every request; the three values are bound.
STATEMENT = """
SELECT token.scope, token.user_id,
       client.id, client.client_id,
       person.id, person.public_id,
       organisation.id, organisation.public_id, organisation.currency,
       membership.role,
       token.cnf_jkt, token.acr, token.auth_time,
       set_config('app.organisation', organisation.id::text, true),
       set_config('app.user', person.id::text, true),
       set_config('app.member', CASE WHEN membership.role <> %s THEN 'on' ELSE '' END, true),
       set_config('app.groups', CASE WHEN membership.role = %s THEN array_to_string(ARRAY(
         SELECT belonging.group_id FROM accounts_user_groups belonging WHERE belonging.user_id = person.id
       ), ',') ELSE '' END, true)
  FROM oauth_accesstoken token
  JOIN oauth_application client ON client.id = token.application_id
  JOIN accounts_user person ON person.id = coalesce(token.user_id, client.user_id)
  JOIN accounts_organisation organisation ON organisation.id = token.organisation_id
  JOIN accounts_membership membership
    ON membership.user_id = person.id AND membership.organisation_id = organisation.id
 WHERE token.token_checksum = %s AND token.expires > %s AND token.resource ? %s AND person.is_active
   AND (token.user_id IS NOT NULL OR membership.role <> %s)
"""


class BearerAuthentication(BaseAuthentication):
    """Bearer and DPoP. ``request.user`` is a User without further query, ``request.auth`` an Access."""

    clock: ClassVar[Callable[[], datetime]] = timezone.now

    def authenticate(self, request: Request) -> tuple[User, Access] | None:
        """None without credentials.

        Raises InvalidToken, InvalidProof, UseNonce, InsufficientAuthentication; InvalidCredentials (400).
        """
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        match = CREDENTIALS.fullmatch(header)
        if match is None or "access_token" in request.query_params:
            raise InvalidCredentials
        with connection.cursor() as cursor:
            token, now = digest(match[1]), type(self).clock()
            cursor.execute(
                STATEMENT, [CONTACT_ROLE, CONTACT_ROLE, token, now, settings.PUBLIC_URL, CONTACT_ROLE]
            )
            row = cursor.fetchone()
        if row is None or bool(row[10]) != is_scheme(header):
            raise InvalidToken
        access = Access(
            scopes=frozenset(row[0].split()),
            role=row[9] if row[1] is not None else SERVICE_ROLE,
            application_id=row[2],
            client_id=row[3],
            user_id=row[4],
            user_public_id=row[5],
            organisation_id=row[6],
            organisation_public_id=row[7],
            currency=row[8],
            acr=row[11],
            auth_time=row[12],
            groups=tuple(int(group) for group in row[16].split(",") if group),
            once=_use_of_proof(request, match[1], row[10]),
        )
        if access.role in roles_requiring_mfa() and access.acr not in STRONG:
            raise InsufficientAuthentication({"acr_values": " ".join(STRONG)})
        # For what runs outside DRF: the access log and the audit of refusals.
        request._request.access = access  # type: ignore[attr-defined]  # read by audit and log
        return User(id=access.user_id, public_id=access.user_public_id), access

    def authenticate_header(self, request: Request) -> str:
        return f'Bearer realm="{REALM}"'


def _use_of_proof(request: Request, token: str, jkt: str) -> tuple[Once, ...]:
    """What the request's proof uses up, where the token is bound to a key. The limiter judges the replay."""
    if not jkt:
        return ()
    try:
        proof = Proof.of(request._request, access_token=token)
    except InvalidDPoPProof:
        raise InvalidProof from None
    except NonceRequired:
        raise UseNonce from None
    if not proof.is_by(jkt):
        raise InvalidProof
    return (proof.once,)
