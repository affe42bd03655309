"""Redelivery and erasure of what only the history has.

A redelivery first restores: the event and the chosen jobs, as they were when the ledger forgot them. From there on the
ledger's own scripts go on. Nobody else gets the event again, and what was restored twice is the same.
"""

from collections.abc import Iterable, Mapping, Sequence

from worker.domain.change import Change
from worker.domain.job import JobState
from worker.history.history_reader import HistoryReader
from worker.ledger import Ledger
from worker.ledger.events.erasure import Erasure
from worker.ledger.inspection.event_history import EventReader
from worker.ledger.lanes.job_lanes import JobLanes
from worker.ledger.lanes.reopening import Reopening, SelectedJobs, SelectJobs
from worker.ledger.pages import Cursor
from worker.ledger.policy import MAX_JOBS_PER_CALL


class ReopeningAcrossSeam(Reopening):
    """Reopens jobs of both."""

    def __init__(self, ledger: Ledger, history: HistoryReader, jobs: JobLanes, events: EventReader) -> None:
        super().__init__(ledger.redis)
        self._history = history
        #: The jobs and the events of the ledger alone.
        self._jobs = jobs
        self._events = events

    async def redeliver(
        self,
        job_ids: Sequence[str],
        mark: str = "",
        states: Iterable[JobState] = (),
        *,
        change: Change | None = None,
    ) -> list[str]:
        """Reopen ended jobs, and make waiting ones due now; restore those that only the history has."""
        wanted = list(states)
        answers = await super().redeliver(job_ids, mark, wanted, change=change)
        gone = [job for job, answer in zip(job_ids, answers, strict=True) if answer == "gone"]
        if not gone:
            return answers
        events, jobs = await self._history.restorable(gone)
        if not jobs:
            return answers
        await self.restore(events, jobs)
        recorded = None if {"reopened", "due"} & set(answers) else change
        again = dict(zip(gone, await super().redeliver(gone, mark, wanted, change=recorded), strict=True))
        return [again.get(job, answer) for job, answer in zip(job_ids, answers, strict=True)]

    def selections(self) -> Mapping[str, SelectJobs]:
        """Return what selects pages of jobs: first of the ledger's, then of those that only the history has."""
        return {**super().selections(), "past": self.select_archived}

    async def select_archived(
        self, integration_id: str, cursor: Cursor, till: int, states: Iterable[JobState], mark: str
    ) -> SelectedJobs:
        """Return a page of those jobs that only the history has; the ledger's are selected by select()."""
        words = [state.value for state in states]
        found = await self._history.select_jobs(integration_id, cursor, till, words, MAX_JOBS_PER_CALL)
        kept = {each.id for each in await self._jobs.get([job for job, _, _, _ in found])}
        wanted = [(job, whole) for job, _, marks, whole in found if job not in kept and mark not in marks.split()]
        following = Cursor(found[-1][1], found[-1][0]) if len(found) == MAX_JOBS_PER_CALL else None
        gone = sum(not whole for _, whole in wanted)
        return SelectedJobs({job: "reopened" for job, whole in wanted if whole}, gone, len(found), following)

    async def open_missing(
        self,
        integration_id: str,
        jobs: Sequence[tuple[str, str]],
        *,
        dry_run: bool = False,
        change: Change | None = None,
    ) -> tuple[int, bool]:
        """Open missing jobs of events, due now; restore the events that only the history has."""
        kept = await self._events.kept([ref for _, ref in jobs])
        past = [(job, ref) for job, ref in jobs if ref not in kept]
        if not past:
            return await super().open_missing(integration_id, jobs, dry_run=dry_run, change=change)
        had = await self._history.jobs([job for job, _ in past])
        events = await self._history.whole_events([ref for job, ref in past if job not in had])
        if not dry_run:
            await self.restore(events, ())
            return await super().open_missing(integration_id, jobs, change=change)
        opened, full = await super().open_missing(integration_id, jobs, dry_run=True)
        return opened + len(events), full


class ErasureAcrossSeam(Erasure):
    """Erases events of both. The archiver erases those of the history, as soon as PostgreSQL answers."""

    def __init__(self, ledger: Ledger, history: HistoryReader) -> None:
        super().__init__(ledger.redis)
        self._history = history

    async def erase(self, ref: str, change: Change | None = None) -> bool:
        """Erase an event; return False if it is not kept."""
        if await super().erase(ref, change):
            return True
        if await self._history.event(ref) is None:
            return False
        await self.bury(ref, change)
        return True
