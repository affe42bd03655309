"""The dispatcher: loads events from the inbox, matches them with integrations, and opens their jobs."""

import asyncio
from collections.abc import Iterable, Sequence
from time import time

import structlog

from worker.delivery.delivery_service import DeliveryService
from worker.delivery.fan_out import Chunk, MatchedEvent, chunks
from worker.delivery.integration_cache import IntegrationCache
from worker.delivery.observation import Observation
from worker.domain.stored_event import StoredEvent
from worker.ledger import Ledger, LedgerError, LedgerFull
from worker.ledger.events.inbox import OBSERVE_TRIES, LoadedEvents
from worker.ledger.policy import JOBS_PER_CALL, by_message
from worker.telemetry import metrics
from worker.telemetry.lane_events import report_filled
from worker.telemetry.newer_versions import NEWER
from worker.telemetry.tracing import observing
from worker.telemetry.tracing.traces import Traces

_log = structlog.get_logger("edw.dispatch")


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
        self._observation = Observation(ledger.inbox)

    async def observe(self, refs: Sequence[str]) -> None:
        """Open the jobs of the events that are still in the inbox; start as many as there are slots for.

        If this process stops, observing ends with the chunk that is being opened. Events that are not finished stay in
        the inbox, and another process goes on with them.

        Raises LedgerError if a call of the ledger fails; then the events stay in the inbox.
        """
        with self._observation.under_way():
            for portion in by_message(refs):
                if self.stopping:
                    break
                for ref in await self._observe_together(portion):
                    await self._observe_alone(ref)

    @property
    def stopping(self) -> bool:
        """Whether this process has stopped observing."""
        return self._observation.stopping

    def stop(self) -> None:
        """Observe no more events; what is under way ends with its present chunk."""
        self._observation.stop()

    async def wait_until_idle(self, seconds: float) -> None:
        """Wait until nothing is being observed, at most so many seconds."""
        await self._observation.wait_until_idle(seconds)

    async def leave(self) -> None:
        """Leave unfinished events to other processes; call it when nothing is observed. Raises LedgerError."""
        await self._observation.leave()

    async def _observe_together(self, refs: Sequence[str], *, alone: bool = False) -> Sequence[str]:
        """Observe events in one go; return those that must be observed alone."""
        self._observation.begin(refs)
        loaded = await self._ledger.inbox.load(refs, alone=alone)
        try:
            finished = await self._open(loaded)
        except LedgerFull:
            # Redis may be at its memory limit for long, and workers may stop meanwhile: this event did not kill them.
            await self._observation.give_up(refs, announce=False)
            raise
        if not finished:
            await self._observation.give_up(refs, announce=True)
            return ()
        self._observation.finish(refs)
        return loaded.alone

    async def _observe_alone(self, ref: str) -> None:
        """Observe one event, which may kill its worker, with no other event beside it.

        So a harmless event, which became suspect because it was observed at the same time, is not lost with it again.
        """
        async with self._suspect:
            if self.stopping:
                return
            _log.warning("observed alone: workers were lost while they observed it", ref=ref)
            await self._observe_together([ref], alone=True)

    async def _open(self, loaded: LoadedEvents) -> bool:
        """Open the jobs of loaded events; return False if the process stopped before all were opened."""
        NEWER.left("event", loaded.newer)
        for ref, raw in loaded.unreadable:
            await self._set_aside(ref, raw, "cannot be read")
        for ref, raw in loaded.deadly:
            await self._set_aside(ref, raw, f"{OBSERVE_TRIES} workers were lost while they observed it", tries=1)
        with observing(self._traces, loaded.events) as observed:
            matches = await self._match_all(observed.events, loaded.versions)
            failed: set[str] = set()
            for chunk in chunks(matches):
                if self.stopping:
                    return False
                # An event leaves the inbox with its last chunk. If an earlier chunk failed, it must stay there.
                if wanted := [each for each in chunk if each[0].ref not in failed]:
                    failed |= await self._open_chunk(wanted)
            for match in matches:
                observed.matched(match.stored.ref, len(match.integration_ids))
                if not match.integration_ids and match.stored.ref not in failed:
                    metrics.observe_unmatched(match.stored.ingress)
        return not self.stopping

    async def _match_all(self, events: Iterable[StoredEvent], versions: dict[str, int]) -> Sequence[MatchedEvent]:
        """Match events until all are matched, or the process stops."""
        matches: list[MatchedEvent] = []
        for stored in events:
            if self.stopping:
                break
            if match := await self._match(stored, versions):
                matches.append(match)
        return matches

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
        self._deliveries.serve_later(opened.later)
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
