"""Inventory: every URL is documented, internal for a reason, or refused; what is old says so, and ends.

Threat: a route that nobody knows of, and so nobody filters, tests or retires; an old version that lives on
beside the new one because nobody dared to end it. Guarantee: at start-up every route of the URLconf is either
an operation of the committed OpenAPI document or listed with its reason among the internal ones, and neither
names what is not there: security.E095 to E097 otherwise, which end start-up. An operation whose rule is
``Deprecated`` says so in every answer (``Deprecation``, and ``Sunset`` where an end is set) and in the
document; from the sunset on it is 410 to everybody who is authenticated.

Settings: OPENAPI_DOCUMENT, INTERNAL_ROUTES. OWASP API9:2023. ASVS 13.1.1. RFC 9745, RFC 8594.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar

import yaml
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from django.utils.http import http_date

from security.errors import Problem

CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")
METHODS = frozenset({"get", "post", "put", "patch", "delete"})


class Gone(Problem):
    """The operation has ended. RFC 9110 section 15.5.11."""

    status_code = HTTPStatus.GONE
    slug = "gone"
    title = "Gone"
    default_detail = "This operation has ended. The documentation names what came after it."
    meaning = "The operation was deprecated, its Sunset has passed, and it does nothing any more."


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprecated:
    """Since when an operation should not be used any more, and from when on it is not there."""

    since: datetime
    sunset: datetime | None = None

    clock: ClassVar[Callable[[], datetime]] = timezone.now

    def headers(self) -> dict[str, str]:
        """``Deprecation`` as a structured date, ``Sunset`` as an HTTP date."""
        headers = {"Deprecation": f"@{int(self.since.timestamp())}"}
        if self.sunset is not None:
            headers["Sunset"] = http_date(self.sunset.timestamp())
        return headers

    def check(self) -> None:
        """Raises Gone (410) from the sunset on."""
        if self.sunset is not None and type(self).clock() >= self.sunset:
            raise Gone

    def faults(self) -> Iterator[str]:
        """What is wrong with the dates themselves."""
        if any(timezone.is_naive(date) for date in (self.since, self.sunset) if date is not None):
            yield "a date has no time zone"
        elif self.sunset is not None and self.sunset < self.since:
            yield "the sunset is before the deprecation"


def walk_routes(
    patterns: Sequence[URLPattern | URLResolver] | None = None, prefix: str = ""
) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every route of the URLconf as (pattern, callback)."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from walk_routes(pattern.url_patterns, route)
        else:
            yield route, pattern.callback


def documented_operations() -> set[tuple[str, str]]:
    """(method, path) of each operation of the committed document."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load(Path(settings.OPENAPI_DOCUMENT).read_text(), loader)  # noqa: S506  a safe loader
    return {
        (method, path) for path, item in document["paths"].items() for method in item if method in METHODS
    }


def internal_routes() -> dict[str, str]:
    """Pattern → reason of each route that is not API. A pattern that ends with ``*`` is of all below it."""
    return tomllib.loads(Path(settings.INTERNAL_ROUTES).read_text())


# With the deployment's checks, and so at every start; not before each command, as `manage.py spectacular` is
# what writes the document.
@register(Tags.security, deploy=True)
def check_inventory(**kwargs: Any) -> list[CheckMessage]:
    """security.E095 undocumented, E096 not listed, E097 not there, E098 dates."""
    return list(_check_routes(documented_operations(), internal_routes()))


def _check_routes(documented: set[tuple[str, str]], internal: dict[str, str]) -> Iterator[CheckMessage]:
    served: set[tuple[str, str]] = set()
    used: set[str] = set()
    for route, view in walk_routes():
        actions = getattr(view, "actions", None)
        if actions is None:
            entry = next((each for each in internal if _covers(each, route)), None)
            if entry is not None:
                used.add(entry)
            else:
                yield Error(
                    f"/{route} is neither documented nor listed as internal.",
                    hint="If it is no part of the API, list it with its reason in settings.INTERNAL_ROUTES.",
                    id="security.E096",
                )
            continue
        path = "/" + CONVERTER.sub(r"{\1}", route)
        for method, action in actions.items():
            served.add((method, path))
            if method != "head" and (method, path) not in documented:
                yield Error(
                    f"{method.upper()} {path} is not in the OpenAPI document.",
                    hint="Run make openapi, and review what it adds.",
                    id="security.E095",
                )
            yield from _check_dates(f"{method.upper()} {path}", view, action)
    gone = [
        f"{method.upper()} {path} of the OpenAPI document" for method, path in sorted(documented - served)
    ]
    gone += [f"/{each} of settings.INTERNAL_ROUTES" for each in sorted(internal.keys() - used)]
    for each in gone:
        if not each.endswith("* of settings.INTERNAL_ROUTES"):  # what lies below it depends on a setting
            yield Error(
                f"{each} has no route.", hint="Run make openapi, or delete its entry.", id="security.E097"
            )


def _check_dates(name: str, view: Any, action: str) -> Iterator[CheckMessage]:
    rule = getattr(view.cls, "rules", {}).get(action)
    deprecated = getattr(rule, "deprecated", None)
    for fault in deprecated.faults() if deprecated is not None else ():
        yield Error(
            f"{name} is deprecated, and {fault}.",
            hint="Give aware datetimes, the sunset after the deprecation.",
            id="security.E098",
        )


def _covers(entry: str, route: str) -> bool:
    return route.startswith(entry[:-1]) if entry.endswith("*") else route == entry
