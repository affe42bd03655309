"""Pages: `page[limit]` and `page[offset]`, counted in records, and the links from page to page. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar
from urllib.parse import quote

from msgspec import UNSET, Meta, Struct, UnsetType

from worker.api.api_errors import bad_parameter

DEFAULT_LIMIT = 25
LARGEST_LIMIT = 100
#: Far beyond what any index holds, and within what the store counts with.
LARGEST_OFFSET = 1_000_000_000

LIMIT = "page[limit]"
OFFSET = "page[offset]"

Item = TypeVar("Item")


class PageLinks(Struct, frozen=True):
    """`first` and `prev` are not there on the first page, `next` not on the last, `last` not where there is but one."""

    first: str | UnsetType = UNSET
    last: str | UnsetType = UNSET
    next: str | UnsetType = UNSET
    prev: str | UnsetType = UNSET


class Filtered(Struct, frozen=True):
    """Of a filter without an index: how many of the newest records were looked at, and whether there were more."""

    scanned: int
    cut: bool


class PageMeta(Struct, frozen=True):
    """Which page this is: `current` of `total` pages."""

    limit: Annotated[int, Meta(ge=1)]
    offset: Annotated[int, Meta(ge=0)]
    current: Annotated[int, Meta(ge=1)]
    total: Annotated[int, Meta(ge=0)]
    filter: Filtered | UnsetType = UNSET


class Results(Struct, frozen=True):
    """How many records there are in all."""

    total: Annotated[int, Meta(ge=0)]


class Collection(Struct, Generic[Item], frozen=True):
    """A page of resources."""

    data: list[Item]
    meta: PageMeta
    results: Results
    links: PageLinks


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page was asked for."""

    offset: int = 0
    limit: int = DEFAULT_LIMIT

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Paging":
        """Raises ApiError (400) where a parameter is not what it must be."""
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
    ) -> Collection[Item]:
        """The page, with its links: to `path`, with the `kept` parameters of the query."""
        links = {
            "first": 0 if self.offset > 0 else None,
            "last": self._last(total) if last and total > self.limit else None,
            "next": self.offset + self.limit if self.offset + self.limit < total else None,
            "prev": max(0, self.offset - self.limit) if self.offset > 0 else None,
        }
        written = {name: self._link(path, kept or {}, offset) for name, offset in links.items() if offset is not None}
        pages = -(-total // self.limit)
        meta = PageMeta(self.limit, self.offset, self.offset // self.limit + 1, pages, filtered or UNSET)
        return Collection(items, meta, Results(total), PageLinks(**written))

    def _last(self, total: int) -> int:
        # The page that a reader would reach who goes on from this one.
        first = self.offset % self.limit
        return first + (total - 1 - first) // self.limit * self.limit if total > first else 0

    def _link(self, path: str, kept: Mapping[str, str], offset: int) -> str:
        words = [f"{name}={quote(value, safe='(),:')}" for name, value in kept.items()]
        return f"{path}?{'&'.join([*words, f'{OFFSET}={offset}', f'{LIMIT}={self.limit}'])}"


def _number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    # ASCII digits, and few enough of them: `int` takes more.
    if text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most:
        return int(text)
    raise bad_parameter(name, f"expected a whole number from {least} to {most}")
