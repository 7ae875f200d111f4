"""Pagination: keyset pages in the order of creation, without COUNT.

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

from security.strict_input import QuerySerializer, StrictChoiceField, StrictIntegerField, StrictUUIDField

DEFAULT_LIMIT = 50
MAX_LIMIT = 100
NEWEST_FIRST = "-created_at"
OLDEST_FIRST = "created_at"


class PageQuery(QuerySerializer):
    """The query parameters of a list."""

    cursor = StrictUUIDField(
        required=False, default=None, help_text="The `next` of the page before; absent for the first page."
    )
    limit = StrictIntegerField(
        required=False, default=DEFAULT_LIMIT, min_value=1, max_value=MAX_LIMIT, help_text="Items a page."
    )
    ordering = StrictChoiceField(
        choices=[NEWEST_FIRST, OLDEST_FIRST],
        required=False,
        default=NEWEST_FIRST,
        help_text="Newest first, or oldest first. The same on every page that a cursor leads to.",
    )


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page is wanted: at most ``limit`` rows behind ``cursor`` in the order ``ordering``."""

    cursor: UUID | None
    limit: int
    ordering: str = NEWEST_FIRST

    @property
    def sign(self) -> str:
        """What Django puts before a field to sort by it descending."""
        return "-" if self.ordering == NEWEST_FIRST else ""

    @property
    def beyond(self) -> str:
        """The look-up of what comes after the cursor."""
        return "lt" if self.ordering == NEWEST_FIRST else "gt"


@dataclass(frozen=True, slots=True)
class Page:
    items: list[Any]
    next: UUID | None


def paginate(queryset: QuerySet[Any], wanted: PageRequest) -> Page:
    """The wanted page of ``queryset``, whose rows need a time-ordered ``public_id``."""
    if wanted.cursor is not None:
        queryset = queryset.filter(**{f"public_id__{wanted.beyond}": wanted.cursor})
    rows = list(queryset.order_by(f"{wanted.sign}public_id")[: wanted.limit + 1])
    more = len(rows) > wanted.limit
    items = rows[: wanted.limit]
    return Page(items=items, next=items[-1].public_id if more else None)
