"""Values that run out, such as access tokens: each is fetched once at a time, and kept until shortly before its end."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

#: Values that are kept; beyond that, the least recently used one is forgotten.
MOST_VALUES = 10_000
#: Seconds before its end at which a value counts as old, at most this share of its life.
MARGIN_SECONDS = 30.0
MARGIN_SHARE = 0.1

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Failure = TypeVar("Failure")


@dataclass(frozen=True, slots=True)
class Fetched(Generic[Value]):
    """A value, and the seconds until it runs out."""

    value: Value
    seconds: float


class RenewedValues(Generic[Key, Value, Failure]):
    """The values of a process. A failure is not kept: those who waited for it get it, and the next one fetches anew."""

    def __init__(self, most: int = MOST_VALUES, clock: Callable[[], float] = monotonic) -> None:
        self._most = most
        self._clock = clock
        #: The least recently used first; each value with the time at which it counts as old.
        self._held: OrderedDict[Key, tuple[Value, float]] = OrderedDict()
        self._fetching: dict[Key, asyncio.Task[Value | Failure]] = {}

    async def get(self, key: Key, fetch: Callable[[], Awaitable[Fetched[Value] | Failure]]) -> Value | Failure:
        """Return a value that has not run out; it is fetched if there is none, by one caller for all.

        A caller that is cancelled does not end the fetching. Raises what `fetch` raises.
        """
        held = self._held.get(key)
        if held is not None and self._clock() < held[1]:
            self._held.move_to_end(key)
            return held[0]
        task = self._fetching.get(key)
        if task is None:
            task = self._fetching[key] = asyncio.create_task(self._fetch(key, fetch))
            task.add_done_callback(lambda done: self._fetched(key, done))
        return await asyncio.shield(task)

    def drop(self, key: Key, value: Value) -> None:
        """Forget a value that was refused, unless another one has taken its place."""
        held = self._held.get(key)
        if held is not None and held[0] == value:
            del self._held[key]

    async def close(self) -> None:
        """End what is under way, and forget everything."""
        tasks = list(self._fetching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._held.clear()

    async def _fetch(self, key: Key, fetch: Callable[[], Awaitable[Fetched[Value] | Failure]]) -> Value | Failure:
        # Its life is counted from before it was asked for.
        began = self._clock()
        found = await fetch()
        if not isinstance(found, Fetched):
            return found
        margin = min(MARGIN_SECONDS, found.seconds * MARGIN_SHARE)
        self._held[key] = (found.value, began + found.seconds - margin)
        self._held.move_to_end(key)
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return found.value

    def _fetched(self, key: Key, done: asyncio.Task[Value | Failure]) -> None:
        if self._fetching.get(key) is done:
            del self._fetching[key]
        if not done.cancelled():
            # If every caller was cancelled, nobody looks at an exception; this marks it as seen.
            done.exception()
