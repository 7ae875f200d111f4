"""JSON in and out: one reading of a body, or none.

Threat: a body that two parsers read differently (duplicate keys, UTF-16, a byte order mark), numbers that
are none, nesting that exhausts the stack, characters that PostgreSQL cannot store. Guarantee: a body is
UTF-8 JSON of at most MAX_BODY_BYTES, MAX_DEPTH levels and MAX_KEYS keys, each key once, every number finite
and every integer of at most MAX_DIGITS characters, every string valid Unicode without NUL; all else is 400,
413 or 415 before a field is looked at. Compressed bodies are 415: nothing is inflated. A PATCH may also be
sent as what it is, ``application/merge-patch+json`` (security.strict_input).

Settings: MAX_BODY_BYTES. OWASP API4:2023. ASVS 1.5.2, 4.1.1, 4.2.1. RFC 8259, RFC 7493.
"""

import json
import math
import re
from http import HTTPStatus
from typing import Any, NoReturn

import orjson
from django.conf import settings
from django.http import RawPostDataException
from rest_framework.exceptions import NotAcceptable, UnsupportedMediaType
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from security.errors import Problem

MAX_DEPTH = 32
MAX_KEYS = 1_000
MAX_DIGITS = 20
#: What JSON is in, the most specific first; and the weight of what is not wanted.
RANGES = ("application/json", "application/*", "*/*")
NO_WEIGHT = re.compile(r"q=0(\.0{0,3})?")
PARAMETERS = r'\s*(;\s*charset=("utf-8"|utf-8)\s*)?'


class MalformedBody(Problem):
    """The body is not the one JSON document that the contract asks for."""

    slug = "malformed-body"
    title = "Malformed body"
    default_detail = "The body is not valid JSON."
    meaning = (
        "A body is UTF-8 JSON without byte order mark, each key once, no NaN or Infinity, no NUL and no lone "
        f"surrogate, at most {MAX_DEPTH} levels deep and {MAX_KEYS} keys."
    )


class BodyTooLarge(Problem):
    """The body is larger than settings.MAX_BODY_BYTES."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    slug = "body-too-large"
    title = "Body too large"
    default_detail = "The body is larger than this service accepts."
    meaning = "The limit is in the documentation of the operation."


class StrictJSONParser(BaseParser):
    """Reads the body. Raises MalformedBody (400), BodyTooLarge (413) or UnsupportedMediaType (415)."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        meta = parser_context["request"].META
        if (
            not re.fullmatch(re.escape(self.media_type) + PARAMETERS, media_type or "", re.IGNORECASE)
            or meta.get("HTTP_CONTENT_ENCODING", "identity") != "identity"
        ):
            raise UnsupportedMediaType(media_type or "")
        if int(meta.get("CONTENT_LENGTH") or 0) > settings.MAX_BODY_BYTES:
            raise BodyTooLarge
        try:
            body = stream.read(settings.MAX_BODY_BYTES + 1)
        except (OSError, RawPostDataException):
            raise MalformedBody("The body could not be read.") from None
        if len(body) > settings.MAX_BODY_BYTES:
            raise BodyTooLarge
        return loads(body)


class MergePatchParser(StrictJSONParser):
    """Reads a body that is called a merge patch; UnsupportedMediaType (415) where nothing is patched."""

    media_type = "application/merge-patch+json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        if parser_context["request"].method != "PATCH":
            raise UnsupportedMediaType(media_type or "")
        return super().parse(stream, media_type, parser_context)


class ORJSONRenderer(BaseRenderer):
    """Writes answers. UUIDs, dates and times have their RFC forms."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else orjson.dumps(data, option=orjson.OPT_UTC_Z)


class StrictNegotiation(DefaultContentNegotiation):
    """The framework's, which takes ``application/json;q=0`` for a wish. RFC 9110 section 12.4.2.

    It is shown ranges without their parameters: no renderer has any, and some that nobody can read made it
    fail.
    """

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        accept = request.META.get("HTTP_ACCEPT", "")
        if "q=0" in accept.lower() and _is_refused(accept):
            raise NotAcceptable
        return super().select_renderer(request, renderers, format_suffix)

    def get_accept_list(self, request: Any) -> list[str]:
        return [sent.partition(";")[0].strip() for sent in super().get_accept_list(request)]


def _is_refused(accept: str) -> bool:
    """Whether the most specific range that JSON is in has the weight 0."""
    found: dict[str, bool] = {}
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        found[media] = any(NO_WEIGHT.fullmatch(parameter) for parameter in parameters)
    return next((found[media] for media in RANGES if media in found), False)


def loads(body: bytes) -> Any:
    """The document in ``body``; raises MalformedBody."""
    try:
        document = json.loads(
            body.decode("utf-8"),  # a string: given bytes, json would guess at UTF-16 and UTF-32
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except UnicodeDecodeError:
        raise MalformedBody("The body is not UTF-8.") from None
    except RecursionError:
        raise MalformedBody("The body is nested too deeply.") from None
    except ValueError:
        raise MalformedBody from None
    _inspect(document)
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedBody("A key occurs twice in one object.")
    return found


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise MalformedBody("A number has too many digits.")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise MalformedBody("A number is out of range.")
    return value


def _constant(text: str) -> NoReturn:
    raise MalformedBody(f"{text} is not JSON.")


def _inspect(document: Any) -> None:
    """Depth, number of keys, and the characters of every string, without recursion."""
    keys = 0
    pending = [(document, 1)]
    while pending:
        value, depth = pending.pop()
        if isinstance(value, str):
            _check_text(value)
            continue
        if not isinstance(value, dict | list):
            continue
        if depth > MAX_DEPTH:
            raise MalformedBody("The body is nested too deeply.")
        if isinstance(value, dict):
            keys += len(value)
            if keys > MAX_KEYS:
                raise MalformedBody("The body has too many keys.")
            for key in value:
                _check_text(key)
            pending.extend((child, depth + 1) for child in value.values())
        else:
            pending.extend((child, depth + 1) for child in value)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise MalformedBody("A string holds NUL.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise MalformedBody("A string holds a lone surrogate.") from None
