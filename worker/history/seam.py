"""The ledger's readers, which go on in the history where the ledger ends.

Redelivery and erasure: past_events.py. The audit: past_changes.py.
`join()` puts them in the place of the ledger's own, so that whatever reads the ledger reads both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from worker.domain.affected_resource import AffectedResource
from worker.domain.event import Scope
from worker.domain.integration_log import IntegrationLog
from worker.domain.job import Job
from worker.domain.stored_event import StoredEvent
from worker.history.database import HistoryDatabase, HistoryError
from worker.history.days import DAY_MS, day_of, number_of
from worker.history.history_reader import LOGS_OF_JOB, ArchivedEvent, HistoryReader, LogIndex, days_near
from worker.history.merging import Bounded, MergedList
from worker.history.past_changes import ChangesAcrossSeam
from worker.history.past_events import ErasureAcrossSeam, ReopeningAcrossSeam
from worker.ledger import Ledger
from worker.ledger.events.wire_event import stored_of, without_data
from worker.ledger.inspection.event_history import (
    EventHistory,
    EventReader,
    EventSummary,
    JobHistory,
    SelectedEvents,
    SelectEvents,
)
from worker.ledger.inspection.lane_activity import ActivityReader, DayActivity, LaneDays
from worker.ledger.lanes.claim_calls import ClaimCalls
from worker.ledger.lanes.job_lanes import JobLanes
from worker.ledger.lanes.log_records import LogRecords, with_exchange
from worker.ledger.lease import Lease
from worker.ledger.pages import Cursor, Page
from worker.ledger.policy import MAX_JOBS_PER_CALL


def join(ledger: Ledger, database: HistoryDatabase) -> None:
    """Have the ledger's readers go on in the history."""
    reader = HistoryReader(database)
    ledger.redelivery = ReopeningAcrossSeam(ledger, reader, ledger.jobs, ledger.events)
    ledger.erasure = ErasureAcrossSeam(ledger, reader)
    ledger.events = EventsAcrossSeam(ledger, reader)
    ledger.logs = LogsAcrossSeam(ledger, reader)
    ledger.jobs = JobsAcrossSeam(ledger, reader)
    ledger.activity = ActivityAcrossSeam(ledger, reader)
    ledger.changes = ChangesAcrossSeam(ledger, database)


class LogsAcrossSeam(Bounded, LogRecords):
    """Logs of both."""

    def __init__(self, ledger: Ledger, history: HistoryReader) -> None:
        super().__init__(ledger.redis)
        self._history = history

    async def of_scope(self, scope: Scope, offset: int, limit: int) -> Page[IntegrationLog]:
        """Return a page of a store's logs, or of an organisation's own."""
        index = LogIndex("scope", scope.key)
        return await self._merged(f"store:{scope.key}", index).page(offset, limit)

    async def failures(self, scope: Scope, offset: int, limit: int) -> Page[IntegrationLog]:
        """Return a page of the logs of a scope's failed attempts."""
        index = LogIndex("scope", scope.key, only_failures=True)
        return await self._merged(f"failures:{scope.key}", index).page(offset, limit)

    async def of_integration(self, integration_id: str, offset: int, limit: int) -> Page[IntegrationLog]:
        """Return a page of an integration's logs, with the integration's scope."""
        index = LogIndex("integration", integration_id)
        return await self._merged(f"integration:{integration_id}", index, integration_id).page(offset, limit)

    async def of_job(self, job_id: str, offset: int, limit: int, integration_id: str = "") -> Page[IntegrationLog]:
        """Return a page of a job's logs, the last attempt first, with its integration and scope."""
        kept = await super().of_job(job_id, 0, offset + limit, integration_id)
        try:
            archived = await self._history.logs_of_job(job_id)
        except HistoryError:
            if not kept.integration_id:
                raise
            return replace(kept, items=kept.items[offset : offset + limit], history_away=True)
        whose = (kept.scope_key, kept.integration_id)
        if not kept.integration_id and archived:
            whose = archived[0][1], archived[0][0].integration_id
        found = {log.attempt: log for log, _ in archived} | {log.attempt: log for log in kept.items}
        # Attempts of the ledger beyond this page are in `total`.
        total = max(len(found), kept.total)
        logs = [found[attempt] for attempt in sorted(found, reverse=True)]
        more = len(archived) == LOGS_OF_JOB and total == len(found)
        return Page(logs[offset : offset + limit], total, *whose, at_least=more)

    async def with_exchanges(self, logs: Sequence[IntegrationLog]) -> list[IntegrationLog]:
        """Return the logs with what is kept of their requests and answers."""
        found = await super().with_exchanges(logs)
        wanted = {
            (each.job_id, each.attempt): each.created_at
            for each in found
            if each.exchange is None or each.exchange.request is None
        }
        if not wanted:
            return found
        try:
            archived = await self._history.attempts(list(wanted), days_near(wanted.values()))
        except HistoryError:
            return found
        exchanges = {key: archived[key][1] for key in wanted if key in archived}
        return [
            with_exchange(each, exchange) if (exchange := exchanges.get((each.job_id, each.attempt))) else each
            for each in found
        ]

    def _merged(self, name: str, index: LogIndex, integration: str = "") -> MergedList[IntegrationLog, tuple[str, int]]:
        return MergedList(
            ledger=lambda offset, limit: self._page(name, offset, limit, integration),
            ids=lambda most: self.members(name, most),
            history=lambda most: self._history.logs(index, most, self.till),
            count=lambda without, most: self._history.count_logs(index, without, most),
            identity=lambda log: (log.job_id, log.attempt),
            place=lambda log: (log.created_at, log.job_id, log.attempt),
            till=self.till,
        )


class JobsAcrossSeam(Bounded, JobLanes):
    """Jobs of both, to be read; it leases none."""

    def __init__(self, ledger: Ledger, history: HistoryReader) -> None:
        super().__init__(ledger.redis, ledger.owner, ClaimCalls(), Lease(ledger.policy.lease / 1000))
        self._history = history

    async def get(self, job_ids: Sequence[str]) -> list[Job]:
        """Return those of the jobs that are kept, in the order given."""
        found = {each.id: each for each in await super().get(job_ids)}
        if gone := [each for each in job_ids if each not in found]:
            found |= await self._history.jobs(gone)
        return [found[each] for each in job_ids if each in found]

    async def of_integration(self, integration_id: str, offset: int, limit: int) -> Page[Job]:
        """Return a page of an integration's jobs, the newest first, with the integration's scope."""
        read = super().of_integration
        merged: MergedList[Job, str] = MergedList(
            ledger=lambda offset, limit: read(integration_id, offset, limit),
            ids=lambda most: self.ids_of(integration_id, most),
            history=lambda most: self._history.jobs_of_integration(integration_id, most, self.till),
            count=lambda without, most: self._history.count_jobs(integration_id, without, most),
            identity=lambda job: job.id,
            place=lambda job: (job.opened_at, job.id),
            till=self.till,
        )
        return await merged.page(offset, limit)


class ActivityAcrossSeam(ActivityReader):
    """The days of both."""

    def __init__(self, ledger: Ledger, history: HistoryReader) -> None:
        super().__init__(ledger.redis)
        self._history = history

    async def by_day(self, lane: str, most: int) -> LaneDays:
        """Return the last `most` days of a lane."""
        kept = await super().by_day(lane, most)
        last = kept.days[-1].day
        first = last - most + 1
        try:
            archived = await self._history.activity(lane, day_of(first * DAY_MS))
        except HistoryError:
            return replace(kept, history_away=True)
        found = {number_of(day): DayActivity(number_of(day), attempts, failed) for day, attempts, failed in archived}
        for each in kept.days:
            # What is not archived yet, the ledger alone has counted.
            found[each.day] = max(each, found.get(each.day, each), key=lambda one: one.attempts)
        return LaneDays([found.get(day, DayActivity(day)) for day in range(first, last + 1)])


class EventsAcrossSeam(Bounded, EventReader):
    """Events of both."""

    def __init__(self, ledger: Ledger, history: HistoryReader) -> None:
        super().__init__(ledger.redis)
        self._history = history

    async def show(self, ref: str, offset: int, limit: int) -> EventHistory | None:
        """Return the history of an event, or None if it is not kept or never existed."""
        kept = await super().show(ref, offset, limit)
        if kept is None:
            archived = await self._history.event(ref)
            return None if archived is None else await self._archived(archived, offset, limit)
        try:
            return await self._completed(kept)
        except HistoryError:
            return replace(kept, history_away=True)

    async def stored(self, refs: Sequence[str]) -> list[StoredEvent]:
        """Return those of the events that are kept with their data, those of the ledger first."""
        kept = await super().stored(refs)
        known = {each.ref for each in kept}
        archived = await self._history.records([ref for ref in refs if ref not in known])
        return [*kept, *filter(None, (stored_of(ref, record) for ref, record in archived))]

    def selections(self) -> Mapping[str, SelectEvents]:
        """Return what selects pages of events: first of the ledger's, then of those that only the history has."""
        return {**super().selections(), "missed": self.select_archived}

    async def select_archived(self, scope: Scope, cursor: Cursor, till: int, types: Sequence[str]) -> SelectedEvents:
        """Return a page of the events that have their data in the history alone; select() has the ledger's."""
        found = await self._history.select_events(scope.key, cursor, till, types, MAX_JOBS_PER_CALL)
        following = Cursor(found[-1][1], found[-1][0]) if len(found) == MAX_JOBS_PER_CALL else None
        kept = await self.kept([ref for ref, _ in found])
        return SelectedEvents([ref for ref, _ in found if ref not in kept], len(found), following)

    async def page(
        self, scope: Scope, offset: int, limit: int, resource: AffectedResource | None = None
    ) -> Page[EventSummary]:
        """Return a page of a scope's events, or of those of one resource, the newest first."""
        read, key = super().page, resource.key(scope.key) if resource is not None else ""
        merged: MergedList[EventSummary, str] = MergedList(
            ledger=lambda offset, limit: read(scope, offset, limit, resource),
            ids=lambda most: self.refs(scope, resource, most),
            history=lambda most: self._history.events(scope.key, key, most, self.till),
            count=lambda without, most: self._history.count_events(scope.key, key, without, most),
            identity=lambda event: event.ref,
            # The ledger orders events by the millisecond.
            place=lambda event: (event.accepted_at, event.sequence, event.ref),
            till=self.till,
        )
        return await merged.page(offset, limit)

    async def _archived(self, found: ArchivedEvent, offset: int, limit: int) -> EventHistory | None:
        record = found.head + found.payload if found.payload is not None else without_data(found.head)
        stored = stored_of(found.ref, record)
        if stored is None:
            return None
        jobs, total = await self._history.jobs_of_event(found.ref, offset, limit)
        return EventHistory(stored, False, found.set_aside, await self._with_logs(jobs), total)

    async def _completed(self, kept: EventHistory) -> EventHistory:
        """Return an event of the ledger with those of its jobs and logs that are in the history only."""
        found = {each.job.id: each for each in kept.jobs}
        silent = [each.job for each in kept.jobs if each.last_log is None and each.job.attempts > 0]
        gone = await self._history.jobs(sorted(kept.forgotten))
        for each in await self._with_logs([*silent, *gone.values()]):
            found[each.job.id] = each
        jobs = [found[each] for each in kept.listed if each in found]
        return replace(kept, jobs=jobs, forgotten=kept.forgotten - set(gone))

    async def _with_logs(self, jobs: Sequence[Job]) -> list[JobHistory]:
        """Return jobs with their last logs; the attempt in flight has none yet."""
        wanted = [(job.id, attempt) for job in jobs for attempt in (job.attempts, job.attempts - 1) if attempt > 0]
        ended = [job.ended_at for job in jobs if job.ended_at is not None]
        # Of a job that goes on, nobody knows when the last attempt was.
        found = await self._history.attempts(wanted, days_near(ended) if len(ended) == len(jobs) else ())
        logs = {key: log for key, (log, _) in found.items()}
        return [
            JobHistory(job, logs.get((job.id, job.attempts)) or logs.get((job.id, job.attempts - 1))) for job in jobs
        ]
