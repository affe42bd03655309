"""Events into the ledger, and out of its inbox to be observed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import msgspec

from worker.domain.batches import batches
from worker.domain.event import Event, Ingress, Scope
from worker.domain.stored_event import StoredEvent
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.connection.sync_redis_client import SyncRedisClient
from worker.ledger.events.wire_event import WireEvent
from worker.ledger.policy import MAX_IDS_PER_MESSAGE, REPLY_BYTE_BUDGET, LedgerPolicy

#: An event that cannot be observed, or whose observers are lost with it, is set aside after so many tries.
OBSERVE_TRIES = 5
#: An event that lost so many observers is observed with nothing beside it, so that its neighbours lose no more by it.
LOSSES_BEFORE_ALONE = 2
#: How often a message came back is known for so long after it last did (ms).
COME_BACK_KEPT = 86_400_000
#: The age of the inbox is that of the youngest of so many events that are next in line.
PRESSURE_SAMPLE = 10
#: Of a rejected event, so many bytes are kept to be looked at.
REJECTED_KEEP_BYTES = 16 * 1024


class Acceptance(IntEnum):
    """What came of offering an event."""

    NEW = 0
    DUPLICATE = 1
    #: A duplicate by its id, with other content; the first one stays.
    DIFFERS = 2


@dataclass(frozen=True, slots=True)
class LoadedEvents:
    """Events to observe, and the version of the registry of each of their scopes."""

    events: tuple[StoredEvent, ...]
    versions: dict[str, int]
    #: (reference, raw bytes) of those that cannot be read, such as another version's.
    unreadable: tuple[tuple[str, bytes], ...] = ()
    #: Those that lost LOSSES_BEFORE_ALONE observers, to be asked for one by one.
    alone: tuple[str, ...] = ()
    #: (reference, raw bytes) of those that lost OBSERVE_TRIES observers; what reads them may be what kills.
    deadly: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Pressure:
    """How many events wait to be observed, and for how long (seconds) those have waited that are next."""

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


_loaded = msgspec.msgpack.Decoder(_Loaded)


class RejectedMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that was refused where no producer waits for an answer."""

    field: str
    reason: str
    #: What came, as text, cut to REJECTED_KEEP_BYTES.
    given: str
    #: Milliseconds since 1970, by the clock of the process that refused it.
    at: int
    source: str = ""


def rejection(field: str, reason: str, given: bytes, at: int, source: str) -> str:
    """An entry of the rejected list."""
    text = given[:REJECTED_KEEP_BYTES].decode("utf-8", "replace")
    return msgspec.json.encode(RejectedMessage(field, reason, text, at, source)).decode()


def _wire(event: Event) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "ref": event.ref,
        "id": event.id,
        "type": event.type,
        "scope": event.scope.key,
        "raw": event.raw.decode(),
        "digest": event.digest,
    }
    if event.trace is not None:
        wire["trace"] = event.trace.written
    return wire


def acceptance(events: Iterable[Event], ingress: Ingress, policy: LedgerPolicy) -> dict[str, Any]:
    """Return the arguments of a script that accepts events."""
    horizon = policy.job_deadline + policy.event_retention
    wires = [_wire(event) for event in events]
    return {"events": wires, "ingress": ingress.value, "grace": policy.announce, "horizon": horizon}


def _calls(events: Sequence[Event], ingress: Ingress, policy: LedgerPolicy) -> Iterator[dict[str, Any]]:
    """The arguments of the calls that accept events."""
    for portion in batches(events, MAX_IDS_PER_MESSAGE, REPLY_BYTE_BUDGET, lambda event: len(event.raw)):
        yield acceptance(portion, ingress, policy)


class Inbox:
    """The inbox, from the ledger's side."""

    def __init__(self, redis: RedisClient, owner: str) -> None:
        self._redis = redis
        self._owner = owner

    async def accept(self, events: Sequence[Event], ingress: Ingress = Ingress.PUBLISHER) -> list[Acceptance]:
        """Puts events into the inbox, each once; answers only when the ledger has them.

        Raises LedgerFull above the memory's high-water mark, LedgerUnavailable where Redis did not answer: then
        some may have been accepted, and offering them again with the same ids is safe.
        """
        await self._redis.refuse_over_water()
        answers: list[Acceptance] = []
        for arguments in _calls(events, ingress, self._redis.policy):
            answers += map(Acceptance, await self._redis.run_confirmed("accept", **arguments))
        return answers

    async def admit(self, scope: Scope, events: int, rate: int) -> float:
        """Takes events off a scope's allowance of `rate` a second; answers 0, or in how many seconds they may come."""
        return int(await self._redis.run("admit", scope=scope.key, events=events, rate=rate)) / 1000

    async def pressure(self) -> Pressure:
        """How full the inbox is. Raises LedgerFull where Redis' memory is above its high-water mark."""
        await self._redis.refuse_over_water()
        size, age = await self._redis.run("pressure", sample=PRESSURE_SAMPLE)
        return Pressure(int(size), int(age) / 1000)

    async def load(self, refs: Sequence[str], *, alone: bool = False) -> LoadedEvents:
        """The named events that are still in the inbox. Their next announcement is put off.

        `alone`: nothing else is observed beside them, so that they may be some that others were lost with.
        """
        events: list[StoredEvent] = []
        unreadable: list[tuple[str, bytes]] = []
        deadly: list[tuple[str, bytes]] = []
        apart: list[str] = []
        versions: dict[str, int] = {}
        while refs:
            head, *raws = await self._load(refs[:MAX_IDS_PER_MESSAGE], alone)
            loaded = _loaded.decode(head)
            for wire, raw in zip(loaded.events, raws, strict=True):
                if wire.lost >= OBSERVE_TRIES:
                    deadly.append((wire.ref, raw))
                elif stored := wire.stored(raw):
                    events.append(stored)
                else:
                    unreadable.append((wire.ref, raw))
            apart += loaded.alone
            versions.update({each.scope: each.version for each in loaded.versions})
            refs = refs[loaded.read :]
        return LoadedEvents(tuple(events), versions, tuple(unreadable), tuple(apart), tuple(deadly))

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

    async def unload(self, refs: Sequence[str]) -> None:
        """Says that this process could not observe what it loaded, because of the ledger: it was not lost by it."""
        await self._redis.run("unload", refs=refs, owner=self._owner)

    async def came_back(self, message_id: str) -> int:
        """Counts that the broker delivered a message again; answers how often it did."""
        key = f"came-back:{message_id}"
        times, _ = await self._redis.atomically(("incr", key), ("pexpire", key, COME_BACK_KEPT))
        return int(times)

    async def set_aside(self, ref: str, raw: bytes, reason: str, at: int, tries: int = OBSERVE_TRIES) -> bool:
        """Counts a failure to observe; True where it was the last one, and the event is now on the rejected list."""
        policy = self._redis.policy
        done = await self._redis.run(
            "set_aside",
            ref=ref,
            tries=tries,
            entry=rejection("", reason, raw, at, f"event {ref}"),
            rejected_cap=policy.rejected_cap,
            announce=policy.announce,
            event_retention=policy.event_retention,
        )
        return bool(done)

    async def reject(self, entries: Sequence[str]) -> None:
        """Keep what was refused where no producer waits for an answer; see rejection()."""
        await self._redis.run("reject", entries=entries, rejected_cap=self._redis.policy.rejected_cap)

    async def rejected(self, limit: int) -> list[RejectedMessage]:
        """The newest entries of the rejected list."""
        entries = await self._redis.call("lrange", "rejected", 0, limit - 1)
        return [msgspec.json.decode(entry, type=RejectedMessage) for entry in entries]


class SyncInbox:
    """The inbox for producers without an event loop."""

    def __init__(self, redis: SyncRedisClient) -> None:
        self._redis = redis

    def accept(self, events: Sequence[Event], ingress: Ingress = Ingress.PUBLISHER) -> list[Acceptance]:
        """As Inbox.accept()."""
        self._redis.refuse_over_water()
        answers: list[Acceptance] = []
        for arguments in _calls(events, ingress, self._redis.policy):
            answers += map(Acceptance, self._redis.run_confirmed("accept", **arguments))
        return answers
