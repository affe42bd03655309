"""Paging by `page[limit]` and `page[offset]`, counted in records, and the links between pages. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Generic, Literal, TypeVar
from urllib.parse import quote

from msgspec import UNSET, Meta, Struct, UnsetType

from worker.api.api_errors import bad_parameter

DEFAULT_LIMIT = 25
LARGEST_LIMIT = 100
#: Far more than any index holds, and still an integer for Redis.
LARGEST_OFFSET = 1_000_000_000

LIMIT = "page[limit]"
OFFSET = "page[offset]"

Item = TypeVar("Item")


class PageLinks(Struct, frozen=True):
    """Links to other pages: the first page has no `first` and `prev`, the last no `next`, a single page no `last`."""

    first: str | UnsetType = UNSET
    last: str | UnsetType = UNSET
    next: str | UnsetType = UNSET
    prev: str | UnsetType = UNSET


class Filtered(Struct, frozen=True):
    """The reach of a filter without an index: records examined, the newest first, and whether older ones were not."""

    scanned: int
    cut: bool


class Results(Struct, frozen=True):
    """The number of records on all pages; with `at_least`, there are more, which a filter by time reaches."""

    total: Annotated[int, Meta(ge=0)]
    at_least: bool | UnsetType = UNSET


class PagePosition(Struct, frozen=True):
    """The position of a page: `current` of `total` pages; `limit` and `offset` in records."""

    limit: Annotated[int, Meta(ge=1)]
    offset: Annotated[int, Meta(ge=0)]
    current: Annotated[int, Meta(ge=1)]
    total: Annotated[int, Meta(ge=0)]


class PageMeta(PagePosition, frozen=True):
    """The position of a page, and the same as some of the platform's clients read it: `page`, and `results`."""

    page: PagePosition
    results: Results
    filter: Filtered | UnsetType = UNSET
    #: The history does not answer, so that older records may be missing here.
    history: Literal["unavailable"] | UnsetType = UNSET


class Collection(Struct, Generic[Item], frozen=True):
    """A page of resources."""

    data: list[Item]
    meta: PageMeta
    results: Results
    links: PageLinks


@dataclass(frozen=True, slots=True)
class Paging:
    """The requested page."""

    offset: int = 0
    limit: int = DEFAULT_LIMIT

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Paging":
        """Return the page that a query asks for. Raises ApiError (400) for an invalid parameter."""
        return cls(_number(query, OFFSET, 0, 0, LARGEST_OFFSET), _number(query, LIMIT, DEFAULT_LIMIT, 1, LARGEST_LIMIT))

    def collection(
        self,
        items: list[Item],
        total: int,
        path: str,
        kept: Mapping[str, str] | None = None,
        *,
        last: bool = True,
        filtered: Filtered | None = None,
        at_least: bool = False,
        history_away: bool = False,
    ) -> Collection[Item]:
        """Return a page of `items`; its links lead to `path` and keep the parameters in `kept`.

        `at_least` and `history_away` are those of the page (worker.ledger.pages.Page).
        """
        links = {
            "first": 0 if self.offset > 0 else None,
            "last": self._last(total) if last and total > self.limit else None,
            "next": self.offset + self.limit if self.offset + self.limit < total else None,
            "prev": max(0, self.offset - self.limit) if self.offset > 0 else None,
        }
        written = {name: self._link(path, kept or {}, offset) for name, offset in links.items() if offset is not None}
        place = (self.limit, self.offset, self.offset // self.limit + 1, -(-total // self.limit))
        results = Results(total, at_least or UNSET)
        away: Literal["unavailable"] | UnsetType = "unavailable" if history_away else UNSET
        meta = PageMeta(*place, PagePosition(*place), results, filtered or UNSET, away)
        return Collection(items, meta, results, PageLinks(**written))

    def _last(self, total: int) -> int:
        # The last page that is reached from this one in steps of the limit.
        first = self.offset % self.limit
        return first + (total - 1 - first) // self.limit * self.limit if total > first else 0

    def _link(self, path: str, kept: Mapping[str, str], offset: int) -> str:
        words = [f"{name}={quote(value, safe='(),:')}" for name, value in kept.items()]
        return f"{path}?{'&'.join([*words, f'{OFFSET}={offset}', f'{LIMIT}={self.limit}'])}"


def _number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    # `int` also accepts other digits, signs and any length.
    if text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most:
        return int(text)
    raise bad_parameter(name, f"expected a whole number from {least} to {most}")
