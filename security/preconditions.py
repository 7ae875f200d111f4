"""Preconditions: whoever changes an object names the version that they have seen.

Threat: two people edit one object and the later write undoes the earlier one unseen; somebody approves what
was changed after they had read it. Guarantee: an answer that shows one object with a ``version`` carries it
as a strong ``ETag``. An action whose rule has ``if_match`` is done only if ``If-Match`` names the version
that the row has under the lock in which it is changed: 428 without, 412 where it is another. A weak tag
never matches. ``*`` names no version, so it is 428; a list would say that any will do, so it is 400, like
whatever else is no tag. An action that judges no version answers 412 to ``If-Match`` rather than ignore it.

The rule of each action that writes to a model with a ``version`` has to say whether it changes the object:
security.E002 otherwise.

OWASP API6:2023. ASVS 2.3.3, 15.4.2. RFC 9110 sections 8.8.3 and 13.1.1, RFC 6585 section 3.
"""

import re
from http import HTTPStatus
from typing import Any

from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from security.errors import Problem

HEADER = "If-Match"
#: The column that grows with each change.
VERSION = "version"
TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,64}"')
#: What a caller may send where an action asks for it, for the OpenAPI document.
PATTERN = '^"[1-9][0-9]{0,9}"$'


class PreconditionRequired(Problem):
    """The action needs If-Match."""

    status_code = HTTPStatus.PRECONDITION_REQUIRED
    slug = "precondition-required"
    title = "Precondition required"
    default_detail = "Send If-Match with the ETag of the version that you have seen."
    meaning = (
        "The operation changes an object and is done only to the version that the caller has seen. Read the "
        'object and send its ETag as If-Match; "*" names no version.'
    )


class PreconditionFailed(Problem):
    """The object is at another version than the caller has seen."""

    status_code = HTTPStatus.PRECONDITION_FAILED
    slug = "precondition-failed"
    title = "Precondition failed"
    default_detail = "The object is not at the version that If-Match names."
    meaning = "Somebody changed the object in between. Read it again, and decide again. Nothing was written."


class InvalidPrecondition(Problem):
    """If-Match is no entity tag."""

    slug = "invalid-precondition"
    title = "Invalid precondition"
    default_detail = 'Send one entity tag in If-Match, in quotes: "3".'
    meaning = "If-Match is malformed, or names several versions."


def etag(instance: Any) -> str | None:
    """The entity tag of an object that has a version."""
    version = getattr(instance, VERSION, None)
    return f'"{version}"' if type(version) is int else None


def require(request: Request) -> None:
    """Before the object is looked for. Raises PreconditionRequired or InvalidPrecondition."""
    sent = request.META.get("HTTP_IF_MATCH", "").strip()
    if sent in {"", "*"}:
        raise PreconditionRequired
    if not TAG.fullmatch(sent):
        raise InvalidPrecondition


def refuse(request: Request) -> None:
    """Where no version is judged. Raises PreconditionFailed: it cannot be met, so it is not passed over."""
    if request.method not in SAFE_METHODS and "HTTP_IF_MATCH" in request.META:
        raise PreconditionFailed("This operation has no version to compare If-Match with.")


def check(request: Request, instance: Any) -> None:
    """Of the locked row. Raises PreconditionFailed."""
    if request.META["HTTP_IF_MATCH"].strip() != etag(instance):
        raise PreconditionFailed
