"""New events that a registered worker observes at once, without a wake-up of the broker.

While a worker is registered, the script that accepts an event also puts it on a list of the ledger, for which
registered workers wait: its reference, and its record unless that is large or many wait (lua/parts/hot_events.lua). The
list is a wake-up like any other: if a worker dies with what it took, a sweep announces the events, which are in the
inbox.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.domain.format_version import is_newer
from worker.domain.stored_event import StoredEvent
from worker.event_loop.pacing import paced
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.events.wire_event import stored_of
from worker.ledger.policy import MAX_IDS_PER_MESSAGE
from worker.ledger.redis_errors import mapped

#: A registration ends so long after its last renewal (ms).
REGISTRATION_MS = 3_000
#: Longest wait for new events (seconds).
WAIT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class NewEvents:
    """New events: those that came with their records, and the references of others, which must be loaded."""

    events: Sequence[StoredEvent] = ()
    refs: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.events or self.refs)


class HotEvents:
    """The list of new events, for one process (`owner`)."""

    def __init__(self, redis: RedisClient, owner: str) -> None:
        self._redis = redis
        self._owner = owner
        # A connection of its own, because a call that waits delays all that follow on its connection.
        self._waiting = redis.another_connection()

    async def join(self) -> None:
        """Register this process, or renew its registration. Raises LedgerError."""
        await self._redis.run("join_observers", owner=self._owner, lease=REGISTRATION_MS)

    async def leave(self) -> list[str]:
        """End the registration; return the events that no process is left for. Raises LedgerError."""
        left: list[str] = []
        while True:
            found = await self._redis.run("leave_observers", owner=self._owner, limit=MAX_IDS_PER_MESSAGE)
            left += [ref.decode() for ref in found]
            if len(found) < MAX_IDS_PER_MESSAGE:
                return left

    async def wait(self) -> NewEvents:
        """Wait until there are new events, at most WAIT_SECONDS; return and remove them. Raises LedgerError."""
        with mapped(self._redis.server, "blmpop"):
            answer = await self._waiting.call(
                b"BLMPOP", str(WAIT_SECONDS), 1, self._redis.key("observe-next"), b"LEFT", b"COUNT", MAX_IDS_PER_MESSAGE
            )
        return await _read(answer[1]) if answer else NewEvents()

    async def close(self) -> None:
        """Close the connection."""
        await self._waiting.close()


async def _read(entries: Sequence[bytes]) -> NewEvents:
    events: list[StoredEvent] = []
    refs: list[str] = []
    async for entry in paced(entries):
        name, _, record = entry.partition(b" ")
        ref = name.decode()
        stored = stored_of(ref, record) if record else None
        # What cannot be read, or needs a newer process, is loaded: that decides what becomes of it.
        if stored is None or is_newer(stored.minor):
            refs.append(ref)
        else:
            events.append(stored)
    return NewEvents(events, refs)
