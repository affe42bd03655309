"""The dispatcher: loads events from the inbox, matches them with integrations, and opens their jobs."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import time

import structlog

from worker.delivery.delivery_service import DeliveryService
from worker.delivery.fair_opener import FairOpener
from worker.delivery.fan_outs import FanOut, Portion
from worker.delivery.integration_cache import IntegrationCache
from worker.domain.claim import Claim
from worker.domain.job import job_id
from worker.domain.stored_event import StoredEvent
from worker.ledger import Ledger, LedgerError, LedgerFull
from worker.ledger.events.inbox import OBSERVE_TRIES, LoadedEvents
from worker.ledger.lanes.claims import Opening
from worker.ledger.policy import JOBS_PER_CALL, by_message
from worker.telemetry import metrics
from worker.telemetry.lane_events import report_filled
from worker.telemetry.tracing import observing
from worker.telemetry.tracing.traces import Traces

_log = structlog.get_logger("edw.dispatch")

#: How long a Celery message waits until its events are observed (seconds).
PATIENCE_SECONDS = 0.1


class Dispatcher:
    """Observes events: opens one job for each match, and none twice."""

    def __init__(
        self, ledger: Ledger, directory: IntegrationCache, deliveries: DeliveryService, traces: Traces | None = None
    ) -> None:
        self._ledger = ledger
        self._directory = directory
        self._deliveries = deliveries
        self._traces = traces
        self._opener = FairOpener(self._open_chunk, lambda: deliveries.draining)
        #: References of the events that are being observed.
        self._under_way: set[str] = set()
        #: Observers that begin() has started.
        self._observers: set[asyncio.Task[None]] = set()
        #: Held while an event is observed alone; only one is at a time.
        self._suspect = asyncio.Lock()

    async def begin(self, refs: Sequence[str]) -> None:
        """Observe events; return as soon as it is done, or after PATIENCE_SECONDS while it goes on.

        So a large fan-out does not keep a thread that could take another store's message. The events are in the inbox,
        so a failure is only logged: a sweep announces them again.
        """
        observer = asyncio.create_task(self._observe_or_log(refs))
        self._observers.add(observer)
        observer.add_done_callback(self._observers.discard)
        await asyncio.wait([observer], timeout=PATIENCE_SECONDS)

    async def close(self) -> None:
        """Wait until nothing is being observed; a process that stops opens no further chunk."""
        if self._observers:
            await asyncio.wait(self._observers)

    async def _observe_or_log(self, refs: Sequence[str]) -> None:
        try:
            await self.observe(refs)
        except LedgerError as error:
            _log.warning("observed later", events=len(refs), why=str(error))
        except Exception:  # noqa: BLE001  (a bug; the events are in the inbox)
            _log.exception("cannot observe", events=len(refs))

    async def observe(self, refs: Sequence[str]) -> None:
        """Open the jobs of the events that are still in the inbox; start as many as there is room for.

        Raises LedgerError if a call of the ledger fails; then the events stay in the inbox.
        """
        # A sweep may announce an event again while its jobs are being opened.
        mine = [ref for ref in dict.fromkeys(refs) if ref not in self._under_way]
        self._under_way.update(mine)
        try:
            for portion in by_message(mine):
                alone = await self._observe_together(portion)
                for ref in alone:
                    await self._observe_alone(ref)
        finally:
            self._under_way.difference_update(mine)

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
        for ref, raw in loaded.unreadable:
            await self._set_aside(ref, raw, "cannot be read")
        for ref, raw in loaded.deadly:
            await self._set_aside(ref, raw, f"{OBSERVE_TRIES} workers were lost while they observed it", tries=1)
        with observing(self._traces, loaded.events) as observed:
            found = [await self._match(stored, loaded.versions) for stored in observed.events]
            matches = [match for match in found if match]
            opened = await self._opener.open(matches)
            for match in matches:
                if match in opened.put_off:
                    continue
                observed.matched(match.stored.ref, len(match.integration_ids))
                if not match.integration_ids and match not in opened.failed:
                    metrics.observe_unmatched(match.stored.ingress)
        if opened.put_off:
            # This process observes them later, or not at all, so it must not count as lost with them.
            await self._ledger.inbox.unload([each.stored.ref for each in opened.put_off])

    async def _open_chunk(self, chunk: Sequence[Portion]) -> set[FanOut]:
        """Open the jobs of a chunk; return the fan-outs that could not be opened.

        If the chunk fails as a whole, each of its portions is tried alone.
        """
        try:
            failed = dict(await self._open_jobs(chunk))
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001  (as in _match)
            if len(chunk) > 1:
                return set[FanOut]().union(*[await self._open_chunk([each]) for each in chunk])
            failed = {chunk[0].fan_out.stored.ref: f"{type(error).__name__}: {error}"}
        not_opened = {portion.fan_out for portion in chunk if portion.fan_out.stored.ref in failed}
        for fan_out in not_opened:
            stored, why = fan_out.stored, failed[fan_out.stored.ref]
            _log.error("cannot observe", ref=stored.ref, why=why)
            await self._set_aside(stored.ref, stored.event.raw, f"could not be opened: {why}")
        return not_opened

    async def _open_jobs(self, chunk: Sequence[Portion]) -> Sequence[tuple[str, str]]:
        """Open the jobs of a chunk; return (reference, why) of events that could not be opened."""
        stores = {lane: portion.fan_out.store for portion in chunk for lane in portion.integration_ids}
        self._deliveries.belong(stores)
        limits = await self._deliveries.limits(list(stores))
        openings = [(each.fan_out.stored, _openings(each), each.last) for each in chunk]
        with self._deliveries.reserved(JOBS_PER_CALL) as room:
            opened = await self._ledger.jobs.open(openings, room, limits)
            claims: dict[str, list[Claim]] = {}
            for claim in opened.claims:
                claims.setdefault(claim.event_ref, []).append(claim)
            for portion in chunk:
                portion.fan_out.context.run(self._deliveries.start, claims.get(portion.fan_out.stored.ref, ()))
        self._deliveries.serve(opened.waiting)
        self._deliveries.serve_later(opened.later)
        for lane in opened.filled:
            report_filled(lane)
        return opened.failed

    def forget(self) -> None:
        """Drop all cached integrations, because the ledger may have lost or restored data since they were read."""
        self._directory.forget()

    async def _match(self, stored: StoredEvent, versions: dict[str, int]) -> FanOut | None:
        scope = stored.event.scope
        try:
            snapshot = await self._directory.snapshot(scope, versions[scope.key])
            return FanOut(stored, snapshot.matching(stored.event.type))
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


def _openings(portion: Portion) -> list[Opening]:
    ref = portion.fan_out.stored.ref
    return [Opening(job_id(ref, each), each) for each in portion.integration_ids]
