"""Lists that begin in the ledger and go on in the history: one order, no gap and no double.

What is archived stays in the ledger for a while, so records are in both. The ledger is read first: what it has
forgotten by then was archived before, so the history has it. Each side gives its newest records, as many as the page
needs; records of both are the same by their id, and the ledger's is the newer version.
"""

from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from worker.history.database import HistoryError
from worker.ledger.pages import Page

#: Records that can be reached by an offset, and up to which totals are exact.
DEEPEST = 10_000
#: Records of one read of the ledger.
_CHUNK = 100

Item = TypeVar("Item")
Key = TypeVar("Key")


class Bounded:
    """A reader whose lists may be bounded by a time."""

    #: Nothing that is newer is read (ms); None reads all.
    till: int | None = None

    def until(self, till: int | None) -> Self:
        """Return a reader of what is not newer than `till` (ms)."""
        bounded = copy(self)
        bounded.till = till
        return bounded


@dataclass(frozen=True, slots=True)
class MergedList(Generic[Item, Key]):
    """One list: how to read its two parts, and the order of its records."""

    #: Returns a page of the ledger, nearly in order, the newest first.
    ledger: Callable[[int, int], Awaitable[Page[Item]]]
    #: Returns the ids of the ledger's records, as many as there are up to the given number.
    ids: Callable[[int], Awaitable[Sequence[Key]]]
    #: Returns the newest records of the history, as many as the given number.
    history: Callable[[int], Awaitable[Sequence[Item]]]
    #: Returns how many records the history has besides the given ones, at most so many.
    count: Callable[[Sequence[Key], int], Awaitable[int]]
    #: The id of a record, and its place: a time, and what orders records of one time.
    identity: Callable[[Item], Key]
    place: Callable[[Item], tuple[Any, ...]]
    #: Only records up to this time (ms); None for all. The ledger's are sorted out here.
    till: int | None = None

    async def page(self, offset: int, limit: int) -> Page[Item]:
        """Return a page. With the history away, it has what is in the ledger, and says so."""
        wanted = min(offset + limit, DEEPEST)
        first, kept = await self._newest_of_ledger(wanted)
        try:
            known = await self.ids(DEEPEST + 1) if first.total else ()
            archived = await self.history(wanted) if offset < DEEPEST else ()
            room = DEEPEST + 1 - len(known)
            total = len(known) + (await self.count(known, room) if room > 0 else 0)
        except HistoryError:
            found = self._ordered(kept)[offset : offset + limit]
            return Page(found, first.total, first.scope_key, first.integration_id, history_away=True)
        merged = self._ordered({self.identity(each): each for each in archived} | kept)
        return Page(
            merged[offset:wanted],
            min(total, DEEPEST),
            first.scope_key,
            first.integration_id,
            at_least=total > DEEPEST,
        )

    async def _newest_of_ledger(self, wanted: int) -> tuple[Page[Item], dict[Key, Item]]:
        """Return the ledger's first page, and its newest records, at least `wanted` of them if it has so many."""
        found: dict[Key, Item] = {}
        read, first = 0, None
        while True:
            page = await self.ledger(read, _CHUNK)
            first = first or page
            read += len(page.items)
            found.update({self.identity(each): each for each in page.items if self._is_wanted(each)})
            if len(page.items) < _CHUNK or self._has(found, wanted, page.items[-1]):
                return first, found

    def _is_wanted(self, item: Item) -> bool:
        return self.till is None or self.place(item)[0] <= self.till

    def _has(self, found: dict[Key, Item], wanted: int, last: Item) -> bool:
        """Return whether the newest `wanted` are among the found: those of one time have no order in the ledger."""
        if len(found) < wanted:
            return False
        return wanted == 0 or self.place(last)[0] < self.place(self._ordered(found)[wanted - 1])[0]

    def _ordered(self, found: dict[Key, Item]) -> list[Item]:
        return sorted(found.values(), key=self.place, reverse=True)
