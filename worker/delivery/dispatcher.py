"""The dispatcher: loads events from the inbox, matches them with integrations, and opens their jobs."""

import asyncio
from collections.abc import Sequence
from time import time

import structlog

from worker.delivery.delivery_service import DeliveryService
from worker.delivery.event_filtering import passing
from worker.delivery.fair_opener import FairOpener
from worker.delivery.fan_outs import FanOut, FanOutPart
from worker.delivery.integration_cache import IntegrationCache
from worker.delivery.observation import Observation
from worker.domain.job import job_id
from worker.domain.stored_event import StoredEvent
from worker.ledger import Ledger, LedgerError, LedgerFull
from worker.ledger.events.inbox import OBSERVE_TRIES, LoadedEvents
from worker.ledger.lanes.claims import Opening
from worker.ledger.policy import by_message
from worker.telemetry import metrics
from worker.telemetry.lane_events import report_filled
from worker.telemetry.newer_versions import NEWER
from worker.telemetry.tracing import observing
from worker.telemetry.tracing.traces import Traces

_log = structlog.get_logger("edw.dispatch")

#: How long a wake-up waits until its events are observed (seconds).
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
        self._observation = Observation(ledger.inbox)
        self._opener = FairOpener(self._open_chunk, lambda: self.stopping)
        #: What begin() has started.
        self._begun: set[asyncio.Task[None]] = set()
        #: Held while an event is observed alone; only one is at a time.
        self._suspect = asyncio.Lock()

    async def begin(self, refs: Sequence[str]) -> None:
        """Observe events; return as soon as it is done, or after PATIENCE_SECONDS while it goes on.

        So a large fan-out does not keep a thread that could take another store's message.
        """
        begun = asyncio.create_task(self.try_observing(refs))
        self._begun.add(begun)
        begun.add_done_callback(self._begun.discard)
        await asyncio.wait([begun], timeout=PATIENCE_SECONDS)

    async def try_observing(self, refs: Sequence[str], arrived: Sequence[StoredEvent] = ()) -> None:
        """Observe events. They are in the inbox, so a failure is only logged: a sweep announces them again.

        Those in `arrived` came with their records, and need not be loaded.
        """
        try:
            await self.observe(refs, arrived)
        except LedgerError as error:
            _log.warning("observed later", events=len(refs) + len(arrived), why=str(error))
        except Exception:  # noqa: BLE001  (a bug; the events are in the inbox)
            _log.exception("cannot observe", events=len(refs) + len(arrived))

    async def observe(self, refs: Sequence[str], arrived: Sequence[StoredEvent] = ()) -> None:
        """Open the jobs of the events that are still in the inbox; start as many as there are slots for.

        If this process stops, observing ends with the chunk that is being opened. Events that are not finished stay in
        the inbox, and another process goes on where this one stopped.

        Raises LedgerError if a call of the ledger fails; then the events stay in the inbox.
        """
        # A sweep may announce an event again while its jobs are being opened.
        came = {each.ref: each for each in arrived if self._directory.known(each.event.scope)}
        with self._observation.under_way([*(each.ref for each in arrived), *refs]) as new:
            left = [ref for ref in new if ref not in came]
            if ready := [came[ref] for ref in new if ref in came]:
                left += await self._observe_arrived(ready)
            for part in by_message(left):
                if self.stopping:
                    break
                for ref in await self._observe_together(part):
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

    def forget(self) -> None:
        """Drop all cached integrations, because the ledger may have lost or restored data since they were read."""
        self._directory.forget()

    async def _observe_together(self, refs: Sequence[str], *, alone: bool = False) -> Sequence[str]:
        """Observe events in one go; return those that must be observed alone."""
        self._observation.begin(refs)
        loaded = await self._ledger.inbox.load(refs, alone=alone)
        await self._observe_loaded(refs, loaded)
        return loaded.alone

    async def _observe_arrived(self, events: Sequence[StoredEvent]) -> Sequence[str]:
        """Observe events that came with their records, by the integrations that this process knows of their scopes.

        Returns those that must be loaded, because these integrations have changed.
        """
        refs, versions = [each.ref for each in events], dict[str, int]()
        for scope in {each.event.scope for each in events}:
            if snapshot := self._directory.known(scope):
                versions[scope.key] = snapshot.version
        self._observation.begin(refs)
        return await self._observe_loaded(refs, LoadedEvents(tuple(events), versions, unchecked=True))

    async def _observe_loaded(self, refs: Sequence[str], loaded: LoadedEvents) -> Sequence[str]:
        """Open the jobs of loaded events; return those that are outdated."""
        try:
            put_off, outdated = await self._open(loaded)
        except LedgerFull:
            # Redis may be at its memory limit for long, and workers may stop meanwhile: this event did not kill them.
            await self._observation.give_up(refs, announce=False)
            raise
        if self.stopping:
            put_off = [*put_off, *outdated, *loaded.alone]
        self._observation.finish(set(refs).difference(put_off))
        if put_off:
            # This process observes them later, or not at all, so it must not count as lost with them.
            await self._observation.give_up(put_off, announce=self.stopping)
        return outdated

    async def _observe_alone(self, ref: str) -> None:
        """Observe one event, which may kill its worker, with no other event beside it.

        So a harmless event, which became suspect because it was observed at the same time, is not lost with it again.
        """
        async with self._suspect:
            if self.stopping:
                return
            _log.warning("observed alone: workers were lost while they observed it", ref=ref)
            await self._observe_together([ref], alone=True)

    async def _open(self, loaded: LoadedEvents) -> tuple[Sequence[str], Sequence[str]]:
        """Open the jobs of loaded events; return the references of those that are left for later, and are outdated."""
        NEWER.left("event", loaded.newer)
        for ref, raw in loaded.unreadable:
            await self._set_aside(ref, raw, "cannot be read")
        for ref, raw in loaded.deadly:
            await self._set_aside(ref, raw, f"{OBSERVE_TRIES} workers were lost while they observed it", tries=1)
        with observing(self._traces, loaded.events) as observed:
            fan_outs: list[FanOut] = []
            left = list(observed.events)
            while left and not self.stopping:
                if fan_out := await self._match(left.pop(0), loaded):
                    fan_outs.append(fan_out)
            opened = await self._opener.open(fan_outs)
            for each in fan_outs:
                if each not in opened.put_off:
                    observed.matched(each.stored.ref, each.matches)
                    if each not in opened.failed:
                        metrics.observe_matches(each.stored.ingress, each.matches, each.filtered)
        outdated = [each.stored.ref for each in opened.put_off if each.outdated]
        put_off = [each.stored for each in opened.put_off if not each.outdated]
        return [stored.ref for stored in (*left, *put_off)], outdated

    async def _match(self, stored: StoredEvent, loaded: LoadedEvents) -> FanOut | None:
        scope = stored.event.scope
        try:
            snapshot = await self._directory.snapshot(scope, loaded.versions[scope.key])
            if snapshot.newer:
                # This build cannot know what they observe; the event stays in the inbox, for a newer process.
                NEWER.left("event")
                await self._ledger.inbox.unload([stored.ref])
                return None
            matching: Sequence[str] = snapshot.matching(stored.event.type)
            filtered = 0
            if snapshot.filters:
                matching, filtered = await passing(snapshot, stored)
            version = snapshot.version if loaded.unchecked else None
            if opened := loaded.opened.get(stored.ref):
                # Another observer was interrupted: go on where it stopped.
                missing = [each for each in matching if job_id(stored.ref, each) not in opened]
                return FanOut(stored, missing, len(matching), filtered=filtered)
            return FanOut(stored, matching, len(matching), filtered=filtered, version=version)
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001  (a failure of one event must not affect the others)
            _log.exception("cannot observe", event_id=stored.event.id, event_type=stored.event.type)
            await self._set_aside(
                stored.ref, stored.event.raw, f"could not be observed: {type(error).__name__}: {error}"
            )
            return None

    async def _open_chunk(self, chunk: Sequence[FanOutPart]) -> set[FanOut]:
        """Open the jobs of a chunk; return the fan-outs that could not be opened, or are outdated.

        If the chunk fails as a whole, each of its parts is tried alone.
        """
        try:
            failed = dict(await self._open_jobs(chunk))
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001  (as in _match)
            if len(chunk) > 1:
                return set[FanOut]().union(*[await self._open_chunk([each]) for each in chunk])
            failed = {chunk[0].fan_out.stored.ref: f"{type(error).__name__}: {error}"}
        not_opened = {part.fan_out for part in chunk if part.fan_out.stored.ref in failed}
        for fan_out in not_opened:
            stored, why = fan_out.stored, failed[fan_out.stored.ref]
            _log.error("cannot observe", ref=stored.ref, why=why)
            await self._set_aside(stored.ref, stored.event.raw, f"could not be opened: {why}")
        return not_opened | {part.fan_out for part in chunk if part.fan_out.outdated}

    async def _open_jobs(self, chunk: Sequence[FanOutPart]) -> Sequence[tuple[str, str]]:
        """Open the jobs of a chunk; return (reference, why) of events that could not be opened."""
        stores = {lane: part.fan_out.store for part in chunk for lane in part.integration_ids}
        self._deliveries.belong(stores)
        limits = await self._deliveries.limits(list(stores))
        openings = [(each.fan_out.stored, _openings(each), each.last) for each in chunk]
        # No more slots than this chunk may use: another call's stores may need them.
        wanted = sum(limits.get(lane, 1) > 0 for part in chunk for lane in part.integration_ids)
        with self._deliveries.reserved(wanted) as room:
            fan_outs = [part.fan_out for part in chunk]
            filtered = {each.stored.ref: each.filtered for each in fan_outs if each.filtered}
            versions = {each.stored.ref: each.version for each in fan_outs if each.version is not None}
            opened = await self._ledger.jobs.open(openings, room, limits, filtered, versions)
            for part in chunk:
                ref = part.fan_out.stored.ref
                part.fan_out.outdated = ref in opened.outdated
                claims = [claim for claim in opened.claims if claim.event_ref == ref]
                part.fan_out.context.run(self._deliveries.start, claims)
        self._deliveries.serve(opened.waiting)
        self._deliveries.serve_later(opened.later)
        for lane in opened.filled:
            report_filled(lane)
        return opened.failed

    async def _set_aside(self, ref: str, raw: bytes, reason: str, tries: int = OBSERVE_TRIES) -> None:
        if await self._ledger.inbox.set_aside(ref, raw, reason, round(time() * 1000), tries):
            _log.error("event set aside", ref=ref, why=reason)


def _openings(part: FanOutPart) -> list[Opening]:
    ref = part.fan_out.stored.ref
    return [Opening(job_id(ref, each), each) for each in part.integration_ids]
