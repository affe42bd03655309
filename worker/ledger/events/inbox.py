"""The inbox: events that were accepted and are to be observed; and the rejected list."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import msgspec

from worker.domain.batches import batches
from worker.domain.event import Event, Ingress, Scope
from worker.domain.stored_event import StoredEvent
from worker.event_loop.pacing import paced
from worker.ledger.events.wire_event import WireEvent, raw_of, stored_of, written
from worker.ledger.policy import MAX_IDS_PER_MESSAGE, REPLY_BYTE_BUDGET, LedgerPolicy, by_message

if TYPE_CHECKING:
    from worker.ledger.connection.redis_client import RedisClient
    from worker.ledger.connection.sync_redis_client import SyncRedisClient

#: Tries after which an event is set aside: failures to observe it, or processes that died while they observed it.
OBSERVE_TRIES = 5
#: An event whose observers died this many times is observed alone, so that other events are not lost with it again.
LOSSES_BEFORE_ALONE = 2
#: How long the number of a message's redeliveries is kept after the last one (ms).
COME_BACK_KEPT = 86_400_000
#: The age of the inbox is the age of the youngest among this many events that are next in line.
PRESSURE_SAMPLE = 10
#: Bytes of a rejected event that are kept for inspection.
REJECTED_KEEP_BYTES = 16 * 1024

_OF_PRODUCERS = frozenset({Ingress.HTTP, Ingress.PUBLISHER})


class Acceptance(IntEnum):
    """The ledger's answer to an event that was offered to it."""

    NEW = 0
    DUPLICATE = 1
    #: An event of the same id but other content is known; the known one stays.
    DIFFERS = 2
    #: New, and a worker that waits in the ledger has it: it needs no wake-up.
    WAKES = 3

    @property
    def is_new(self) -> bool:
        """Whether the ledger did not know the event."""
        return self in _NEW


_NEW = frozenset({Acceptance.NEW, Acceptance.WAKES})
#: By value; a lookup takes a twentieth of a call of the class.
_ACCEPTANCES = tuple(Acceptance)


@dataclass(frozen=True, slots=True)
class LoadedEvents:
    """Events to observe, and the registry's version of each of their scopes."""

    events: tuple[StoredEvent, ...]
    versions: dict[str, int]
    #: (reference, raw bytes) of events that cannot be read, such as events of another version.
    unreadable: tuple[tuple[str, bytes], ...] = ()
    #: References of events that lost LOSSES_BEFORE_ALONE observers; they must be loaded one by one.
    alone: tuple[str, ...] = ()
    #: (reference, raw bytes) of events that lost OBSERVE_TRIES observers. Not decoded: decoding may be what kills.
    deadly: tuple[tuple[str, bytes], ...] = ()
    #: The number of events that were left in the inbox, for processes of a newer minor version.
    newer: int = 0
    #: The jobs that other observers opened of some events, before they were interrupted.
    opened: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: Whether `versions` are those that this process knows: the events came with their records, and were not loaded.
    unchecked: bool = False


@dataclass(frozen=True, slots=True)
class Pressure:
    """The number of events in the inbox, and the age (seconds) of those that are next in line."""

    inbox: int
    age: float


class _Version(msgspec.Struct):
    scope: str
    version: int


class _Loaded(msgspec.Struct):
    events: list[WireEvent]
    versions: list[_Version]
    alone: list[str]
    read: int
    newer: int = 0


_loaded = msgspec.msgpack.Decoder(_Loaded)


class RejectedMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message that was refused while no producer waited for an answer."""

    field: str
    reason: str
    #: The message as text, cut to REJECTED_KEEP_BYTES.
    given: str
    #: Milliseconds since 1970, by the clock of the process that refused it.
    at: int
    source: str = ""


def rejection(field: str, reason: str, given: bytes, at: int, source: str) -> str:
    """Return an entry for the rejected list; `at` is the time (ms since 1970)."""
    text = given[:REJECTED_KEEP_BYTES].decode("utf-8", "replace")
    return msgspec.json.encode(RejectedMessage(field, reason, text, at, source)).decode()


def _accepted(event: Event) -> dict[str, Any]:
    named: dict[str, Any] = {"ref": event.ref, "scope": event.scope.key, "resource": event.resource_key}
    if event.made:
        named["made"] = 1
    return named


def acceptance(events: Iterable[Event], ingress: Ingress, policy: LedgerPolicy) -> dict[str, Any]:
    """Return the arguments of a script that accepts events."""
    given = list(events)
    return {
        "events": [_accepted(event) for event in given],
        "grace": policy.announce,
        # A worker observes what it took from Celery or the plain queue itself.
        "hot": int(ingress in _OF_PRODUCERS),
        "blobs": [written(event, ingress) for event in given],
    }


def _calls(events: Sequence[Event], ingress: Ingress, policy: LedgerPolicy) -> Iterator[dict[str, Any]]:
    """Yield the arguments of the calls that accept events."""
    for portion in batches(events, MAX_IDS_PER_MESSAGE, REPLY_BYTE_BUDGET, lambda event: len(event.raw)):
        yield acceptance(portion, ingress, policy)


class Inbox:
    """The inbox of the ledger, for one process (`owner`)."""

    def __init__(self, redis: "RedisClient", owner: str) -> None:
        self._redis = redis
        self._owner = owner

    async def accept(self, events: Sequence[Event], ingress: Ingress = Ingress.PUBLISHER) -> list[Acceptance]:
        """Put events into the inbox, each once; return when the ledger has them all.

        Raises:
            LedgerFull: Redis's memory is above the high-water mark.
            LedgerUnavailable: Redis did not answer. Some events may have been accepted; offering all of them again
                with the same ids is safe.
        """
        await self._redis.refuse_over_water()
        answers: list[Acceptance] = []
        for arguments in _calls(events, ingress, self._redis.policy):
            answers += [_ACCEPTANCES[each] for each in await self._redis.run_confirmed("accept", **arguments)]
        return answers

    async def admit(self, scope: Scope, events: int, rate: int) -> float:
        """Count events against a scope's limit of `rate` a second; return 0, or the seconds to wait before a retry."""
        return int(await self._redis.run("admit", scope=scope.key, events=events, rate=rate)) / 1000

    async def pressure(self) -> Pressure:
        """Return how full the inbox is. Raises LedgerFull if Redis's memory is above the high-water mark."""
        await self._redis.refuse_over_water()
        size, age = await self._redis.run("pressure", sample=PRESSURE_SAMPLE)
        return Pressure(int(size), int(age) / 1000)

    async def age(self) -> float:
        """Return how long the events that are observed next have waited (seconds)."""
        _, age = await self._redis.run("pressure", sample=PRESSURE_SAMPLE)
        return int(age) / 1000

    async def load(self, refs: Sequence[str], *, alone: bool = False) -> LoadedEvents:
        """Load those of the events that are still in the inbox, and postpone their next announcement.

        With `alone` the caller observes nothing else meanwhile. Only then events are loaded that lost
        LOSSES_BEFORE_ALONE observers.
        """
        events: list[StoredEvent] = []
        unreadable: list[tuple[str, bytes]] = []
        deadly: list[tuple[str, bytes]] = []
        apart: list[str] = []
        newer = 0
        opened: dict[str, frozenset[str]] = {}
        versions: dict[str, int] = {}
        while refs:
            head, *records = await self._load(refs[:MAX_IDS_PER_MESSAGE], alone)
            loaded = _loaded.decode(head)
            # Decoding large events takes long, and this process has other work.
            async for wire, record in paced(list(zip(loaded.events, records, strict=True)), lambda pair: len(pair[1])):
                if wire.lost >= OBSERVE_TRIES:
                    deadly.append((wire.ref, raw_of(record)))
                elif stored := stored_of(wire.ref, record):
                    events.append(stored)
                    if wire.jobs:
                        opened[wire.ref] = wire.opened
                else:
                    unreadable.append((wire.ref, raw_of(record)))
            apart += loaded.alone
            newer += loaded.newer
            versions.update({each.scope: each.version for each in loaded.versions})
            refs = refs[loaded.read :]
        return LoadedEvents(tuple(events), versions, tuple(unreadable), tuple(apart), tuple(deadly), newer, opened)

    async def _load(self, refs: Sequence[str], alone: bool) -> list[bytes]:
        answer: list[bytes] = await self._redis.run(
            "load",
            refs=refs,
            owner=self._owner,
            alone=alone,
            announce=self._redis.policy.announce,
            byte_budget=REPLY_BYTE_BUDGET,
            alone_after=LOSSES_BEFORE_ALONE,
            tries=OBSERVE_TRIES,
        )
        return answer

    async def unload(self, refs: Sequence[str], *, announce: bool = False) -> None:
        """Record that this process observes the events no longer, so that it does not count as lost if it dies.

        With `announce`, the next sweep of any process announces those that are still in the inbox.
        """
        for portion in by_message(refs):
            await self._redis.run("unload", refs=portion, owner=self._owner, announce=int(announce))

    async def came_back(self, message_id: str) -> int:
        """Count a redelivery of a message by the broker; return how many there were."""
        key = f"came-back:{message_id}"
        times, _ = await self._redis.atomically(("incr", key), ("pexpire", key, COME_BACK_KEPT))
        return int(times)

    async def set_aside(self, ref: str, raw: bytes, reason: str, at: int, tries: int = OBSERVE_TRIES) -> bool:
        """Count a failure to observe; return True if it was the last try, so that the event is on the rejected list."""
        policy = self._redis.policy
        done = await self._redis.run(
            "set_aside",
            ref=ref,
            tries=tries,
            entry=rejection("", reason, raw, at, f"event {ref}"),
            rejected_cap=policy.rejected_cap,
            announce=policy.announce,
        )
        return bool(done)

    async def reject(self, entries: Sequence[str]) -> None:
        """Add entries to the rejected list; rejection() makes them."""
        await self._redis.run("reject", entries=entries, rejected_cap=self._redis.policy.rejected_cap)

    async def rejected(self, limit: int) -> list[RejectedMessage]:
        """Return the newest entries of the rejected list."""
        entries = await self._redis.call("lrange", "rejected", 0, limit - 1)
        return [msgspec.json.decode(entry, type=RejectedMessage) for entry in entries]


class SyncInbox:
    """The inbox for producers without an event loop."""

    def __init__(self, redis: "SyncRedisClient") -> None:
        self._redis = redis

    def accept(self, events: Sequence[Event], ingress: Ingress = Ingress.PUBLISHER) -> list[Acceptance]:
        """Put events into the inbox; see Inbox.accept()."""
        self._redis.refuse_over_water()
        answers: list[Acceptance] = []
        for arguments in _calls(events, ingress, self._redis.policy):
            answers += [_ACCEPTANCES[each] for each in self._redis.run_confirmed("accept", **arguments)]
        return answers
