"""Bearer authentication of the API: the header only, one statement, which also sets the tenant.

The library's own class reads ``request.POST``, so it parses bodies before the caller is known and accepts
tokens from them; and it costs a query for each relation. Here the Authorization header is the only place,
and one SELECT finds the token by digest, joins the client, the person and their membership, and sets what
security.row_security goes by for the rest of the transaction in its own select list. No row, no tenant: an
expired token, an inactive person and a former member all look like an unknown token, and so does a service
client whose responsible person is but a contact.

RFC 6750. OWASP API2:2023. ASVS 6.3.4, 10.3.1, 10.3.2, 14.2.1.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import ClassVar

from django.db import connection
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.models import User
from accounts.oauth.validators import digest
from security.errors import REALM, InvalidCredentials, InvalidToken
from security.scopes import CONTACT_ROLE, SERVICE_ROLE, Access

#: RFC 6750 b64token, within what this server issues.
CREDENTIALS = re.compile(r"Bearer ([A-Za-z0-9\-._~+/]{1,512}=*)", re.IGNORECASE)

# Raw SQL, because the planner's work and the ORM's are paid on every request; the two values are bound.
STATEMENT = """
SELECT token.id, token.scope, token.user_id,
       client.id, client.client_id,
       person.id, person.public_id,
       organisation.id, organisation.public_id, organisation.currency,
       membership.role,
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
 WHERE token.token_checksum = %s AND token.expires > %s AND person.is_active
   AND (token.user_id IS NOT NULL OR membership.role <> %s)
"""


class BearerAuthentication(BaseAuthentication):
    """Gives ``request.user`` (a User without further query) and ``request.auth`` (an Access)."""

    clock: ClassVar[Callable[[], datetime]] = timezone.now

    def authenticate(self, request: Request) -> tuple[User, Access] | None:
        """None without credentials. Raises InvalidToken (401) or InvalidCredentials (400)."""
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        match = CREDENTIALS.fullmatch(header)
        if match is None or "access_token" in request.query_params:
            raise InvalidCredentials
        with connection.cursor() as cursor:
            cursor.execute(
                STATEMENT, [CONTACT_ROLE, CONTACT_ROLE, digest(match[1]), type(self).clock(), CONTACT_ROLE]
            )
            row = cursor.fetchone()
        if row is None:
            raise InvalidToken
        access = Access(
            token_id=row[0],
            scopes=frozenset(row[1].split()),
            role=row[10] if row[2] is not None else SERVICE_ROLE,
            application_id=row[3],
            client_id=row[4],
            user_id=row[5],
            user_public_id=row[6],
            organisation_id=row[7],
            organisation_public_id=row[8],
            currency=row[9],
            groups=tuple(int(group) for group in row[14].split(",") if group),
        )
        # For what runs outside DRF: the access log and the audit of refusals.
        request._request.access = access  # type: ignore[attr-defined]  # read by audit and log
        return User(id=access.user_id, public_id=access.user_public_id), access

    def authenticate_header(self, request: Request) -> str:
        return f'Bearer realm="{REALM}"'
