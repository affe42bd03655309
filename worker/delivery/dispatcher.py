"""The dispatcher: loads events from the inbox, matches them with integrations, and opens their jobs."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import time

import structlog

from worker.delivery.delivery_service import DeliveryService
from worker.delivery.integration_cache import IntegrationCache
from worker.domain.job import job_id
from worker.domain.stored_event import StoredEvent
from worker.ledger import Ledger, LedgerError, LedgerFull
from worker.ledger.events.inbox import OBSERVE_TRIES, LoadedEvents
from worker.ledger.lanes.claims import Opening
from worker.ledger.policy import JOBS_PER_CALL, by_message
from worker.telemetry import metrics
from worker.telemetry.lane_events import report_filled
from worker.telemetry.newer_versions import NEWER
from worker.telemetry.tracing import observing
from worker.telemetry.tracing.traces import Traces

_log = structlog.get_logger("edw.dispatch")


@dataclass(frozen=True, slots=True)
class MatchedEvent:
    """An event and the integrations that observe it."""

    stored: StoredEvent
    integration_ids: Sequence[str]


Chunk = list[tuple[StoredEvent, list[Opening], bool]]


def chunks(matches: Iterable[MatchedEvent], size: int = JOBS_PER_CALL) -> Iterator[Chunk]:
    """Split matches into chunks of at most `size` jobs and events; the last portion of an event is marked as last."""
    chunk: Chunk = []
    room = size
    for match in matches:
        ids = list(match.integration_ids)
        while True:
            taken, ids = ids[:room], ids[room:]
            openings = [Opening(job_id(match.stored.ref, each), each) for each in taken]
            chunk.append((match.stored, openings, not ids))
            room -= max(1, len(taken))
            if room <= 0:
                yield chunk
                chunk, room = [], size
            if not ids:
                break
    if chunk:
        yield chunk


class Dispatcher:
    """Observes events: opens one job for each match, and none twice."""

    def __init__(
        self, ledger: Ledger, directory: IntegrationCache, deliveries: DeliveryService, traces: Traces | None = None
    ) -> None:
        self._ledger = ledger
        self._directory = directory
        self._deliveries = deliveries
        self._traces = traces
        #: Held while an event is observed alone; only one is at a time.
        self._suspect = asyncio.Lock()

    async def observe(self, refs: Sequence[str]) -> None:
        """Open the jobs of the events that are still in the inbox; start as many as there is room for.

        Raises LedgerError if a call of the ledger fails; then the events stay in the inbox.
        """
        for portion in by_message(refs):
            alone = await self._observe_together(portion)
            for ref in alone:
                await self._observe_alone(ref)

    async def _observe_together(self, refs: Sequence[str], *, alone: bool = False) -> Sequence[str]:
        """Observe events in one go; return those that must be observed alone."""
        loaded = await self._ledger.inbox.load(refs, alone=alone)
        try:
            await self._open(loaded)
        except LedgerFull:
            # Redis may be at its memory limit for long, and workers may stop meanwhile: this event did not kill them.
            with suppress(LedgerError):
                await self._ledger.inbox.unload(refs)
            raise
        return loaded.alone

    async def _observe_alone(self, ref: str) -> None:
        """Observe one event, which may kill its worker, with no other event beside it.

        So a harmless event, which became suspect because it was observed at the same time, is not lost with it again.
        """
        async with self._suspect:
            _log.warning("observed alone: workers were lost while they observed it", ref=ref)
            await self._observe_together([ref], alone=True)

    async def _open(self, loaded: LoadedEvents) -> None:
        NEWER.left("event", loaded.newer)
        for ref, raw in loaded.unreadable:
            await self._set_aside(ref, raw, "cannot be read")
        for ref, raw in loaded.deadly:
            await self._set_aside(ref, raw, f"{OBSERVE_TRIES} workers were lost while they observed it", tries=1)
        with observing(self._traces, loaded.events) as observed:
            found = [await self._match(stored, loaded.versions) for stored in observed.events]
            matches = [match for match in found if match]
            failed: set[str] = set()
            for chunk in chunks(matches):
                # An event leaves the inbox with its last chunk. If an earlier chunk failed, it must stay there.
                if wanted := [each for each in chunk if each[0].ref not in failed]:
                    failed |= await self._open_chunk(wanted)
            for match in matches:
                observed.matched(match.stored.ref, len(match.integration_ids))
                if not match.integration_ids and match.stored.ref not in failed:
                    metrics.observe_unmatched(match.stored.ingress)

    async def _open_chunk(self, chunk: Chunk) -> set[str]:
        """Open the jobs of a chunk; return the references of events that could not be opened.

        If the chunk fails as a whole, each of its events is tried alone.
        """
        try:
            failed = await self._open_jobs(chunk)
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001  (as in _match)
            if len(chunk) > 1:
                return set[str]().union(*[await self._open_chunk([each]) for each in chunk])
            failed = [(chunk[0][0].ref, f"{type(error).__name__}: {error}")]
        raws = {stored.ref: stored.event.raw for stored, _, _ in chunk}
        for ref, why in failed:
            _log.error("cannot observe", ref=ref, why=why)
            await self._set_aside(ref, raws[ref], f"could not be opened: {why}")
        return {ref for ref, _ in failed}

    async def _open_jobs(self, chunk: Chunk) -> Sequence[tuple[str, str]]:
        """Open the jobs of a chunk; return (reference, why) of events that could not be opened."""
        lanes = {each.integration_id for _, openings, _ in chunk for each in openings}
        limits = await self._deliveries.limits(list(lanes))
        with self._deliveries.reserved(JOBS_PER_CALL) as room:
            opened = await self._ledger.jobs.open(chunk, room, limits)
            self._deliveries.start(opened.claims)
        self._deliveries.serve(opened.waiting)
        for lane in opened.filled:
            report_filled(lane)
        return opened.failed

    def forget(self) -> None:
        """Drop all cached integrations, because the ledger may have lost or restored data since they were read."""
        self._directory.forget()

    async def _match(self, stored: StoredEvent, versions: dict[str, int]) -> MatchedEvent | None:
        scope = stored.event.scope
        try:
            snapshot = await self._directory.snapshot(scope, versions[scope.key])
            if snapshot.newer:
                # This build cannot know what they observe; the event stays in the inbox, for a newer process.
                NEWER.left("event")
                await self._ledger.inbox.unload([stored.ref])
                return None
            return MatchedEvent(stored, snapshot.matching(stored.event.type))
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001  (a failure of one event must not affect the others)
            _log.exception("cannot observe", event_id=stored.event.id, event_type=stored.event.type)
            await self._set_aside(
                stored.ref, stored.event.raw, f"could not be observed: {type(error).__name__}: {error}"
            )
            return None

    async def _set_aside(self, ref: str, raw: bytes, reason: str, tries: int = OBSERVE_TRIES) -> None:
        if await self._ledger.inbox.set_aside(ref, raw, reason, round(time() * 1000), tries):
            _log.error("event set aside", ref=ref, why=reason)
