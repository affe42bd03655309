"""The slots of a process by store, so that no store's attempts keep another store's waiting.

- A store that has less than an equal share of the slots may use any free one. The shares count one store more than has
  attempts in flight: the one that comes next.
- Any other store may use all free slots except a sixteenth of all. So a store that comes finds slots at once, even if
  another one has hundreds of attempts in flight that take long.

A store that is alone thus gets all slots except a sixteenth. No I/O.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

#: The part of the slots that stores with more than their share leave free: one in this many.
LEFT_FREE = 16


class StoreSlots:
    """The slots that each store (Scope.key) uses."""

    def __init__(self) -> None:
        self._used: Counter[str] = Counter()

    def take(self, store: str, slots: int) -> None:
        """Note that an attempt of the store begins."""
        self._used[store] += slots

    def give_back(self, store: str, slots: int) -> None:
        """Note that an attempt of the store has ended."""
        self._used[store] -= slots
        if self._used[store] <= 0:
            del self._used[store]

    def room_of(self, store: str, free: int, total: int) -> int:
        """Return how many of the `free` slots, of `total`, the store may use."""
        used = self._used.get(store, 0)
        if used < total / (len(self._used) + 1):
            return free
        return max(0, free - total // LEFT_FREE)


def limits_by_store(
    limits: Mapping[str, int], store_of: Callable[[str], str], room_of: Callable[[str], int], least: int = 0
) -> Mapping[str, int]:
    """Return the limits of lanes, lowered so that no store's lanes together get more than the store may use.

    The lanes of a store get equal parts, and at least `least` each, unless their limits are lower. Jobs of one event
    are thus claimed together, and the event is read only once for them.
    """
    lanes: dict[str, list[str]] = {}
    for lane in limits:
        lanes.setdefault(store_of(lane), []).append(lane)
    found = dict(limits)
    for store, those in lanes.items():
        room = room_of(store)
        if sum(limits[lane] for lane in those) > room:
            found.update(_shared(those, limits, room, least))
    return found


def _shared(lanes: Sequence[str], limits: Mapping[str, int], room: int, least: int) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for behind, lane in zip(range(len(lanes) - 1, -1, -1), lanes, strict=True):
        # What a lane may not use goes to those behind it.
        found[lane] = min(limits[lane], max(least, room // (behind + 1)))
        room -= found[lane]
    return found
