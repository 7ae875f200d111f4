"""Pagination: keyset pages in the order of creation, newest first, without COUNT.

Threat: offset pages and counts cost the whole table and tell how many rows there are, foreign ones
included when a count is not scoped. Guarantee: a page is one statement that reads at most ``limit`` + 1
rows of the scoped queryset; the cursor is the public id of the last row seen, in canonical form, and
carries no internal number. A cursor is only a position: it opens no row that the scope hides.

OWASP API4:2023. ASVS 2.4.1.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from security.strict_input import QuerySerializer, StrictIntegerField, StrictUUIDField

DEFAULT_LIMIT = 50
MAX_LIMIT = 100


class PageQuery(QuerySerializer):
    """The query parameters of a list."""

    cursor = StrictUUIDField(
        required=False, default=None, help_text="The `next` of the page before; absent for the first page."
    )
    limit = StrictIntegerField(
        required=False, default=DEFAULT_LIMIT, min_value=1, max_value=MAX_LIMIT, help_text="Items a page."
    )


@dataclass(frozen=True, slots=True)
class Page:
    items: list[Any]
    next: UUID | None


def paginate(queryset: QuerySet[Any], *, cursor: UUID | None, limit: int) -> Page:
    """The page of ``queryset`` after ``cursor``; rows need a time-ordered ``public_id``."""
    if cursor is not None:
        queryset = queryset.filter(public_id__lt=cursor)
    rows = list(queryset.order_by("-public_id")[: limit + 1])
    more = len(rows) > limit
    items = rows[:limit]
    return Page(items=items, next=items[-1].public_id if more else None)
