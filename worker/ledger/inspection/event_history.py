"""Events that the ledger keeps, and the jobs that they opened."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import msgspec

from worker.domain.affected_resource import AffectedResource
from worker.domain.compact_id import COMPACT_BYTES
from worker.domain.event import Scope
from worker.domain.integration_log import IntegrationLog
from worker.domain.job import Job
from worker.domain.stored_event import StoredEvent
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.events.inbox import OBSERVE_TRIES
from worker.ledger.events.wire_event import ID_BYTES, head_of, stored_of, times_of
from worker.ledger.lanes.job_rows import JobRow
from worker.ledger.lanes.log_records import decoded_log
from worker.ledger.pages import Cursor, Page
from worker.ledger.policy import MAX_JOBS_PER_CALL


@dataclass(frozen=True, slots=True)
class SelectedEvents:
    """A page of the events that an integration may have missed."""

    refs: Sequence[str]
    looked_at: int
    #: The start of the next page; None if this is the last one.
    next: Cursor | None


#: Selects a page of a scope's events, as EventReader.select() does.
SelectEvents = Callable[[Scope, Cursor, int, Sequence[str]], Awaitable[SelectedEvents]]


@dataclass(frozen=True, slots=True)
class JobHistory:
    """A job of an event, and the log of its last finished attempt; None if there is none yet, or it has expired."""

    job: Job
    last_log: IntegrationLog | None


@dataclass(frozen=True, slots=True)
class EventHistory:
    """An event, and a page of the jobs that it opened; `total` counts all of them."""

    stored: StoredEvent
    #: Whether it is still in the inbox.
    waiting: bool
    #: Whether it could not be observed and is on the rejected list.
    set_aside: bool
    jobs: Sequence[JobHistory]
    total: int
    #: Ids of jobs of the page that have ended and are no longer kept.
    forgotten: frozenset[str] = frozenset()
    #: Ids of all jobs of the page, in their order.
    listed: Sequence[str] = ()
    #: Whether the history did not answer, so that only what the ledger has is here.
    history_away: bool = False


@dataclass(frozen=True, slots=True)
class EventSummary:
    """An event in a list, without its data."""

    ref: str
    id: str
    type: str
    #: Milliseconds since 1970, by the ledger's clock.
    accepted_at: int
    sequence: int
    #: Whether it is still in the inbox.
    waiting: bool
    ingress: str
    #: The key of its resource (AffectedResource.key); empty if it has none.
    resource_key: str = ""


class _Job(JobRow):
    #: The job and the attempt of its last log, if it has one.
    logs: list[str]


class _Shown(msgspec.Struct):
    failures: int
    waiting: int
    jobs: list[_Job]
    total: int
    forgotten: list[str] = []
    listed: str = ""


class _Page(msgspec.Struct):
    refs: list[str]
    waiting: list[int]
    total: int


class _Selected(msgspec.Struct):
    refs: list[str]
    looked_at: int
    since: int
    after: str
    done: int


_page = msgspec.msgpack.Decoder(_Page)
_shown = msgspec.msgpack.Decoder(_Shown)
_selected = msgspec.msgpack.Decoder(_Selected)


class EventReader:
    """Reads the events of the ledger."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def show(self, ref: str, offset: int, limit: int) -> EventHistory | None:
        """Return the history of an event, or None if retention has dropped it or it never existed."""
        reply = await self._redis.run("show_event", ref=ref, offset=offset, limit=limit)
        if reply is None:
            return None
        head, record, *logs = reply
        found = _shown.decode(head)
        stored = stored_of(ref, record)
        if stored is None:
            return None
        records = iter(logs)
        jobs = [
            JobHistory(job.job(), decoded_log(job.logs[0], next(records)) if job.logs else None) for job in found.jobs
        ]
        # The last failure removes it from the inbox, so it can no longer be observed.
        set_aside = not found.waiting and found.failures >= OBSERVE_TRIES
        listed = [found.listed[first : first + ID_BYTES] for first in range(0, len(found.listed), ID_BYTES)]
        return EventHistory(
            stored, bool(found.waiting), set_aside, jobs, found.total, frozenset(found.forgotten), listed
        )

    def until(self, till: int | None) -> Self:
        """Return a reader whose lists may leave out what is newer than `till` (ms), where that reaches further back."""
        return self

    async def stored(self, refs: Sequence[str]) -> list[StoredEvent]:
        """Return those of the events that are kept and readable; their data is read at once."""
        records = await self._redis.atomically(*(("get", f"event:{ref}") for ref in refs))
        found = (stored_of(ref, record) for ref, record in zip(refs, records, strict=True) if record is not None)
        return [each for each in found if each is not None]

    async def page(
        self, scope: Scope, offset: int, limit: int, resource: AffectedResource | None = None
    ) -> Page[EventSummary]:
        """Return a page of a scope's events, or of those of one resource, the newest first.

        A resource has an index of its own, with its last events only (LISTED_EVENTS of resource_events.lua).
        """
        head, *starts = await self._redis.run(
            "page_events",
            scope=scope.key,
            resource=resource.key(scope.key) if resource is not None else "",
            offset=offset,
            limit=limit,
        )
        found = _page.decode(head)
        items = [
            summary_of(ref, start, waiting=bool(waiting))
            for ref, waiting, start in zip(found.refs, found.waiting, starts, strict=True)
        ]
        return Page(items, found.total, scope.key)

    async def kept(self, refs: Sequence[str]) -> set[str]:
        """Return those of the events that the ledger has."""
        if not refs:
            return set()
        found = await self._redis.atomically(*(("exists", f"event:{ref}") for ref in refs))
        return {ref for ref, exists in zip(refs, found, strict=True) if exists}

    async def refs(self, scope: Scope, resource: AffectedResource | None, most: int) -> list[str]:
        """Return the references of a scope's events, or of those of one resource, in any order; at most `most`."""
        if resource is None:
            return await self._redis.newest(f"events:{scope.key}", 0, most)
        listed: bytes = await self._redis.call("get", f"events:{resource.key(scope.key)}") or b""
        return [listed[first : first + COMPACT_BYTES].decode() for first in range(8, len(listed), COMPACT_BYTES)][:most]

    def selections(self) -> Mapping[str, SelectEvents]:
        """Return what selects pages of events, one after the other, each with its name in a cursor."""
        return {"events": self.select}

    async def select(self, scope: Scope, cursor: Cursor, till: int, types: Sequence[str]) -> SelectedEvents:
        """Return a page of a scope's observed events of the types, accepted from the cursor up to `till` (ms)."""
        reply = await self._redis.run(
            "select_events",
            scope=scope.key,
            since=cursor.since,
            after=cursor.after,
            till=till,
            limit=MAX_JOBS_PER_CALL,
            types=dict.fromkeys(types, True),
        )
        found = _selected.decode(reply)
        return SelectedEvents(found.refs, found.looked_at, None if found.done else Cursor(found.since, found.after))


def summary_of(ref: str, start: bytes, *, waiting: bool) -> EventSummary:
    """Return an event as a list shows it; `start` is its record up to the payload."""
    head = head_of(start)
    accepted_at, sequence = times_of(start)
    return EventSummary(ref, head.id, head.type, accepted_at, sequence, waiting, head.ingress, head.resource)
