"""Idle connections that may carry another request. No I/O, and no clock of its own."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import takewhile
from typing import Generic, Protocol, TypeVar


class Reusable(Protocol):
    """The part of a connection that the pool needs."""

    def is_fit(self) -> bool:
        """Return whether the connection is open and has received nothing since its last answer."""
        ...

    def close(self) -> None:
        """Close the connection; harmless when repeated."""
        ...


Connection = TypeVar("Connection", bound=Reusable)


class IdlePool(Generic[Connection]):
    """Idle connections by key. The one used last is taken first, so that the others may grow old."""

    def __init__(self, keep_seconds: float) -> None:
        self._keep = keep_seconds
        self._idle: dict[Hashable, dict[Connection, float]] = {}
        # Each inner dict has the time since which a connection is idle, the longest first.

    def __len__(self) -> int:
        return sum(map(len, self._idle.values()))

    def take(self, key: Hashable, now: float) -> Connection | None:
        """Return a connection that is still fit, or None. Those that are not are closed."""
        held = self._idle.get(key)
        while held:
            connection, since = held.popitem()
            if not held:
                del self._idle[key]
            if now - since < self._keep and connection.is_fit():
                return connection
            connection.close()
        return None

    def give(self, key: Hashable, connection: Connection, now: float) -> None:
        """Keep a connection for the next request."""
        self._idle.setdefault(key, {})[connection] = now

    def drop(self, key: Hashable, connection: Connection) -> None:
        """Forget a connection that was lost."""
        held = self._idle.get(key)
        if held is not None and held.pop(connection, None) is not None and not held:
            del self._idle[key]

    def expire(self, now: float) -> float | None:
        """Close the connections that were idle for too long; return when to look again, or None if none is left."""
        oldest = None
        for key, held in list(self._idle.items()):
            old = list(takewhile(lambda entry: now - entry[1] >= self._keep, held.items()))
            for connection, _ in old:
                del held[connection]
                connection.close()
            if not held:
                del self._idle[key]
                continue
            first = next(iter(held.values()))
            oldest = first if oldest is None else min(oldest, first)
        return None if oldest is None else oldest + self._keep

    def close(self) -> None:
        """Close all connections."""
        for held in self._idle.values():
            for connection in held:
                connection.close()
        self._idle.clear()
