"""The open connections of a server: their limit, and which one is closed to make way for a new one."""

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import IntEnum, StrEnum
from typing import Protocol


class Patience(IntEnum):
    """What a connection waits for; the connection with the lowest value is closed first."""

    #: For a request, or for a client that does not read.
    WAITING = 0
    #: For the rest of a body.
    UPLOADING = 1
    #: For our answer; such a connection is never closed.
    WORKING = 2


class Limit(StrEnum):
    """The limit that closed a connection."""

    #: The number of connections had reached EDW_API_CONNECTIONS or EDW_METRICS_CONNECTIONS.
    CONNECTIONS = "connections"
    #: The head of a request took too long.
    HEAD = "head"
    #: The head of a request was too large.
    HEAD_BYTES = "head_bytes"
    #: No further request arrived.
    IDLE = "idle"
    #: The client did not read its answer.
    WRITE = "write"


class Held(Protocol):
    """The part of a connection that applies limits to it."""

    @property
    def network(self) -> str: ...
    def patience(self) -> Patience: ...
    def cut(self, limit: Limit) -> None: ...
    def overdue(self, now: float) -> Limit | None: ...


class Connections:
    """The connections of a server, grouped by the client's network, the oldest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_network: dict[str, dict[Held, None]] = {}
        self._count = 0
        #: Connections that each limit has closed since the last `take_cut()`.
        self._cut: Counter[Limit] = Counter()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Held]:
        for group in self._by_network.values():
            yield from group

    def add(self, connection: Held) -> bool:
        """Add a new connection; at the cap, close another one for it.

        A connection of the network with the most connections is closed, so that one client cannot displace others.

        Returns False if every connection is being worked on, so that none can be closed.
        """
        if self._count >= self._most:
            victim = self._victim()
            if victim is None:
                return False
            self.remove(victim)
            victim.cut(Limit.CONNECTIONS)
        self._by_network.setdefault(connection.network, {})[connection] = None
        self._count += 1
        return True

    def remove(self, connection: Held) -> None:
        """Forget a closed connection; does nothing for an unknown one."""
        group = self._by_network.get(connection.network, {})
        if connection in group:
            del group[connection]
            self._count -= 1
            if not group:
                del self._by_network[connection.network]

    def count_cut(self, limit: Limit) -> None:
        """Count a connection that a limit closed."""
        self._cut[limit] += 1

    def take_cut(self) -> Counter[Limit]:
        """Return how many connections each limit has closed since the last call."""
        taken, self._cut = self._cut, Counter()
        return taken

    def close_overdue(self, now: float) -> None:
        """Close every connection whose client takes too long; `now` in seconds of the loop's clock."""
        for connection in list(self):
            if limit := connection.overdue(now):
                self.remove(connection)
                connection.cut(limit)

    def _victim(self) -> Held | None:
        largest = max(self._by_network.values(), key=len, default={})
        if found := _first_to_go(largest):
            return found
        return next(filter(None, map(_first_to_go, sorted(self._by_network.values(), key=len, reverse=True))), None)


def _first_to_go(group: Iterable[Held]) -> Held | None:
    uploading = None
    for connection in group:
        match connection.patience():
            case Patience.WAITING:
                return connection
            case Patience.UPLOADING if uploading is None:
                uploading = connection
    return uploading
