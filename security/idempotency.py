"""Idempotency: a request that is sent again is done once, and answered the same.

Threat: an answer is lost, the client tries again, and an invoice is paid twice; or a stored answer is read
by somebody who has lost the right to it since. Guarantee: an action whose rule is ``idempotent`` needs an
``Idempotency-Key``, and the answer is stored in the transaction of the effect: both are there or neither,
however the process ends. While a key's first request runs, others with it are 409: an advisory lock that
nobody waits for. Afterwards the same request gets the stored answer, and another one with the key is 422.
Refusals are not stored, for they have written nothing.

A replay is judged like the first request: token, scope, role, step-up, the object or parent by the object
rule, the body by its serializer; only the state and version, which the effect has changed, are not. Fields
that the caller may not read any more are left out. A key belongs to one person, client and organisation:
another's is another key. Fields that a reader names in ``shown_once`` are never stored, and a replay comes
without them.

A key is a structured-field string of 1 to 128 letters, digits and ``-._:``; the same without quotes is
the same key. What is kept of it is a digest, of the body a keyed one.

Settings: IDEMPOTENCY_LIFETIME. OWASP API6:2023. ASVS 2.3.3, 15.4.2.
draft-ietf-httpapi-idempotency-key-header-07.
"""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any

import orjson
from django.conf import settings
from django.db import connection
from django.utils import timezone
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from security import keyring
from security.errors import Problem
from security.field_access import withhold
from security.json_parser import ORJSONRenderer
from security.models import StoredAnswer
from security.scopes import Access

HEADER = "Idempotency-Key"
#: What a caller may send, for the OpenAPI document.
PATTERN = '^([A-Za-z0-9._:-]{1,128}|"[A-Za-z0-9._:-]{1,128}")$'
KEY = re.compile(PATTERN)
PURPOSE = "idempotency"

Handler = Callable[..., Response]

clock: Callable[[], datetime] = timezone.now


class KeyRequired(Problem):
    """The action needs an Idempotency-Key, or it has none of the form."""

    slug = "idempotency-key-required"
    title = "Idempotency key required"
    default_detail = "Send Idempotency-Key: 1 to 128 letters, digits and -._: such as a UUID."
    meaning = (
        "The operation must not be done twice. Make a key for each operation that you mean to be done once, "
        "and send the same key when you send the same request again."
    )


class KeyReused(Problem):
    """The key was used for another request."""

    status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "idempotency-key-reused"
    title = "Idempotency key reused"
    default_detail = "This key was used for a request with another route or body."
    meaning = "A key stands for one request. Make a new key for a new one. Nothing was written."


class KeyInUse(Problem):
    """The first request with the key is still running."""

    status_code = HTTPStatus.CONFLICT
    slug = "idempotency-key-in-use"
    title = "Idempotency key in use"
    default_detail = "The first request with this key is still running."
    meaning = "Send the same request again after Retry-After: it gets the answer of the first."

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}


def once(view: Any, handler: Handler) -> Handler:
    """``handler`` of ``view``, which is a PolicyViewSet whose gate the request has passed."""

    def handle(request: Request, *args: Any, **kwargs: Any) -> Response:
        digest = _digest(view.access, _key(request))
        message = _message(request)
        if not _try_lock(digest):
            raise KeyInUse
        # A statement of its own, after the lock: what its last holder has committed is seen.
        known = StoredAnswer.objects.filter(digest=digest, expires_at__gt=clock()).first()
        if known is None:
            response = handler(request, *args, **kwargs)
            if status.is_success(response.status_code):
                _store(view, digest, message, response)
            return response
        if not keyring.is_signed(PURPOSE, message, bytes.fromhex(known.fingerprint)):
            raise KeyReused
        view.judge_again()
        data = orjson.loads(known.body)
        withhold(view.rule.response, view.access, data)
        return Response(data, status=known.status, headers={"ETag": known.etag} if known.etag else None)

    return handle


def _key(request: Request) -> str:
    sent = request.META.get("HTTP_IDEMPOTENCY_KEY", "")
    if not KEY.fullmatch(sent):
        raise KeyRequired
    return str(sent).strip('"')


def _digest(access: Access, key: str) -> str:
    """Under which an answer is found: the key of this person, client and organisation."""
    owner = f"{access.organisation_id}:{access.user_id}:{access.application_id}"
    return hashlib.sha256(f"{owner}:{key}".encode()).hexdigest()


def _message(request: Request) -> bytes:
    """What has to be the same: method, path, query and the body as read, whatever the order of its keys."""
    return json.dumps([request.method, request.get_full_path(), request.data], sort_keys=True).encode()


def _try_lock(digest: str) -> bool:
    """Held until the transaction ends, which is when its effect can be seen."""
    with connection.cursor() as cursor:
        number = int.from_bytes(bytes.fromhex(digest)[:8], "big", signed=True)
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        return bool(cursor.fetchone()[0])


def _store(view: Any, digest: str, message: bytes, response: Response) -> None:
    secret = getattr(view.rule.response, "shown_once", ())
    shown = {name: value for name, value in response.data.items() if name not in secret}
    answer = StoredAnswer(
        digest=digest,
        organisation_id=view.access.organisation_id,
        # Keyed: the digest of a body with few possible values would tell it.
        fingerprint=keyring.sign(PURPOSE, message).hex(),
        status=response.status_code,
        etag=response.headers.get("ETag", ""),
        body=ORJSONRenderer().render(shown).decode(),
        expires_at=clock() + settings.IDEMPOTENCY_LIFETIME,
    )
    kept = [field.name for field in StoredAnswer._meta.concrete_fields if not field.primary_key]
    # An expired answer may still be there.
    StoredAnswer.objects.bulk_create(
        [answer], update_conflicts=True, unique_fields=["digest"], update_fields=kept
    )
