"""Lanes that wait, taken from their stores in turn."""

from collections import OrderedDict
from collections.abc import Callable
from math import inf


class LaneTurns:
    """A queue of lanes without duplicates. It takes one lane of each store in turn, and a store's lanes in order.

    So a store with many lanes delays another store's lane by one turn only. A store that is alone gets every turn.
    """

    def __init__(self) -> None:
        #: The lanes of each store; the store whose turn is next comes first.
        self._stores: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        self._store_of: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._store_of)

    def __contains__(self, lane: str) -> bool:
        return lane in self._store_of

    def add(self, lane: str, store: str) -> None:
        """Append a lane that is not queued already."""
        if lane in self._store_of:
            return
        self._store_of[lane] = store
        lanes = self._stores.get(store)
        if lanes is None:
            lanes = self._stores[store] = OrderedDict()
        lanes[lane] = None

    def discard(self, lane: str) -> bool:
        """Remove a lane; return whether it was queued."""
        store = self._store_of.pop(lane, None)
        if store is None:
            return False
        lanes = self._stores[store]
        del lanes[lane]
        if not lanes:
            del self._stores[store]
        return True

    def take(self, most: int, most_of: Callable[[str], float] = lambda _: inf) -> list[str]:
        """Remove and return the lanes whose turn it is: at most `most`, and of each store at most `most_of` it."""
        taken: list[str] = []
        stores, store_of = self._stores, self._store_of
        left: dict[str, float] = {}
        #: Stores in a row that had no turn, because they may have no more lanes.
        passed = 0
        while passed < len(stores) and len(taken) < most:
            store, lanes = stores.popitem(last=False)
            may = left.get(store)
            if may is None:
                may = most_of(store)
            if may < 1:
                left[store] = may
                stores[store] = lanes
                passed += 1
                continue
            left[store] = may - 1
            lane, _ = lanes.popitem(last=False)
            del store_of[lane]
            taken.append(lane)
            passed = 0
            if lanes:
                stores[store] = lanes
        return taken

    def clear(self) -> None:
        """Forget all lanes."""
        self._stores.clear()
        self._store_of.clear()
