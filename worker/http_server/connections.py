"""The open connections of a server: how many there may be, and which one gives way to a new one."""

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import IntEnum, StrEnum
from typing import Protocol


class Patience(IntEnum):
    """How readily a connection gives way; the lowest goes first."""

    #: It waits for a request, or for a client that does not read.
    WAITING = 0
    #: It waits for the rest of a body.
    UPLOADING = 1
    #: We work on its answer.
    WORKING = 2


class Limit(StrEnum):
    """Why a connection was closed."""

    #: There were as many as EDW_API_CONNECTIONS or EDW_METRICS_CONNECTIONS allow.
    CONNECTIONS = "connections"
    #: The head of a request took too long, or was too large.
    HEAD = "head"
    HEAD_BYTES = "head_bytes"
    #: No further request came.
    IDLE = "idle"
    #: The client did not read its answer.
    WRITE = "write"


class Held(Protocol):
    """What is asked of a connection."""

    @property
    def network(self) -> str: ...
    def patience(self) -> Patience: ...
    def cut(self, limit: Limit) -> None: ...
    def overdue(self, now: float) -> Limit | None: ...


class Connections:
    """The connections of a server, by the network of the client and the oldest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_network: dict[str, dict[Held, None]] = {}
        self._count = 0
        #: Connections that a limit has closed since they were last taken.
        self._cut: Counter[Limit] = Counter()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Held]:
        for group in self._by_network.values():
            yield from group

    def add(self, connection: Held) -> bool:
        """Take a new connection, in place of another one at the cap. False where none gives way: we work on all.

        The client with the most connections gives way, so that one client's connections do not close another's.
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
        """Forget a connection that is closed; harmless where it is unknown."""
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
        """Return the connections that limits closed since the last call."""
        taken, self._cut = self._cut, Counter()
        return taken

    def close_overdue(self, now: float) -> None:
        """Close every connection whose client takes too long."""
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
