"""Names, places and switches of a store's integrations, kept in this process for filters, orders and searches.

The first use reads all integrations of the store. After that, each use reads what has changed since: the registry has a
version for each store. EDW_STORE_INTEGRATIONS bounds their number, and LISTED_MOST bounds what is kept of a store.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from worker.console.places import place_of
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.event_loop.pacing import breathe

#: Integrations of a store that are kept: those that were changed last.
LISTED_MOST = 20_000
#: Stores that are kept: those that were used last.
STORES_MOST = 50
#: Integrations per read.
_READ = 50


class Registry(Protocol):
    """The part of the ledger that has integrations."""

    async def changed_since(self, scope: Scope, version: int) -> tuple[int, int, list[str]]: ...
    async def get(self, integration_ids: Sequence[str]) -> list[Integration]: ...


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """An integration in the directory."""

    id: str
    #: For orders by name.
    name: str
    #: Name, id and place, for searches; all in lower case.
    text: str
    enabled: bool
    paused: bool
    created_at: int


@dataclass(slots=True)
class _Store:
    version: int = 0
    entries: dict[str, DirectoryEntry] = field(default_factory=dict)
    #: The entries, the newest first; None after a change.
    ordered: Sequence[DirectoryEntry] | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class IntegrationDirectory:
    """The directories of the stores that were looked at last."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._stores: OrderedDict[str, _Store] = OrderedDict()

    async def newest_first(self, scope: Scope) -> Sequence[DirectoryEntry]:
        """Return a store's integrations as they are now, the newest first."""
        store = self._stores.setdefault(scope.key, _Store())
        self._stores.move_to_end(scope.key)
        if len(self._stores) > STORES_MOST:
            self._stores.popitem(last=False)
        async with store.turn:
            await self._refresh(store, scope)
            if store.ordered is None:
                store.ordered = sorted(store.entries.values(), key=lambda each: (-each.created_at, each.id))
            return store.ordered

    async def _refresh(self, store: _Store, scope: Scope) -> None:
        version, floor, ids = await self._registry.changed_since(scope, store.version)
        if store.version < floor or store.version > version:
            # It is older than the deletions that the registry remembers, or Redis has lost data since.
            store.version, store.entries, store.ordered = 0, {}, None
            version, _, ids = await self._registry.changed_since(scope, 0)
        if not ids and store.version == version:
            return
        ids = ids[-LISTED_MOST:]
        for start in range(0, len(ids), _READ):
            some = ids[start : start + _READ]
            found = {each.id: each for each in await self._registry.get(some)}
            for each in some:
                store.entries.pop(each, None)
                if each in found:
                    store.entries[each] = entry_of(found[each])
            await breathe()
        _cut(store.entries)
        store.version, store.ordered = version, None


def entry_of(integration: Integration) -> DirectoryEntry:
    """Return the entry of an integration."""
    text = f"{integration.name}\n{integration.id}\n{place_of(integration)}"
    return DirectoryEntry(
        integration.id,
        integration.name.casefold(),
        text.casefold(),
        integration.enabled,
        integration.paused,
        integration.created_at,
    )


def matching_entries(
    entries: Iterable[DirectoryEntry], state: str, text: str, failing: Collection[str]
) -> list[DirectoryEntry]:
    """Return the entries in a state (any state if it is empty) whose name, id or place has a text."""
    sought = text.casefold()
    return [each for each in entries if sought in each.text and (not state or _state(each, failing) == state)]


def _state(entry: DirectoryEntry, failing: Collection[str]) -> str:
    if not entry.enabled:
        return "disabled"
    if entry.id in failing:
        return "failing"
    return "paused" if entry.paused else "healthy"


def candidates(entries: Iterable[DirectoryEntry], failing: Sequence[str], most: int) -> list[DirectoryEntry]:
    """Return the entries that an order by what is owed looks at: failing ones, then those on hold, then the newest."""
    rank = {each: number for number, each in enumerate(failing)}
    last = len(rank)
    listed = list(entries)
    listed.sort(key=lambda each: rank.get(each.id, last if each.paused or not each.enabled else last + 1))
    return listed[:most]


def _cut(entries: dict[str, DirectoryEntry]) -> None:
    """Drop the entries beyond LISTED_MOST; the dict has those first that were changed first."""
    for each in list(entries)[: max(0, len(entries) - LISTED_MOST)]:
        del entries[each]
