"""Redelivery of jobs that an integration had, and of events that it missed.

A caller selects jobs by time and state, and the integration's lane paces their delivery. Each redelivery has an id,
which marks the jobs that it reopened. A call with the same id reopens no job twice, so a caller whose answer was lost
repeats the call with that id.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from worker.domain.change import Actor, Change, ChangeAction
from worker.domain.content_filter import ContentFilter, compile_filter, content_of
from worker.domain.event import rfc3339
from worker.domain.integration import Integration
from worker.domain.job import JobState, job_id
from worker.ledger import Ledger
from worker.ledger.lanes.reopening import SelectedJobs
from worker.ledger.pages import Cursor

#: Most jobs and events that one call reads. Each 10,000 take a fraction of a second of Redis's time.
LOOKED_AT_MOST = 100_000
#: Most jobs that one call reopens or opens.
CHANGED_MOST = 10_000
#: Events whose data is read at once for a filter; each may have a mebibyte.
EVENTS_PER_READ = 10

#: A cursor: the phase, the time (ms) and the last id.
CURSOR_PATTERN = r"(jobs|past|events|missed)-([0-9]{1,15})-((?:[0-9a-f-]{36})?)"
_PLACE = re.compile(CURSOR_PATTERN)


@dataclass(frozen=True, slots=True)
class Selection:
    """The jobs to redeliver: opened from `since` to `till` (ms since 1970, both included), in one of the states.

    With `missing`, also the retained events of that time that the integration observes and has no job for. Its filter
    decides about these; jobs that it had are redelivered whatever the filter is now.
    """

    since: int
    till: int
    states: frozenset[JobState]
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a redelivery stopped: in the phase of jobs, or in that of events without a job.

    The phases `past` and `missed` are the same for what only the history has.
    """

    phase: str
    cursor: Cursor

    def __str__(self) -> str:
        return f"{self.phase}-{self.cursor.since}-{self.cursor.after}"

    @classmethod
    def read(cls, text: str) -> "Place":
        """Return the place from a text that `str` made. Raises ValueError for any other text."""
        found = _PLACE.fullmatch(text)
        if found is None:
            raise ValueError(text)
        return cls(found[1], Cursor(int(found[2]), found[3]))


@dataclass(slots=True)
class RedeliveryTally:
    """The counts of what a redelivery did, or would do (dry run)."""

    #: Jobs that had ended and are pending again.
    reopened: int = 0
    #: Jobs that waited for their next attempt; it is due now.
    due: int = 0
    #: Jobs with an attempt in flight; they are not changed.
    in_flight: int = 0
    #: New jobs, of events that had none.
    opened: int = 0
    #: Events that the integration observes and has no job for, because its filter does not match them.
    filtered: int = 0
    #: Jobs whose event retention has removed; they cannot be redelivered.
    gone: int = 0
    #: Jobs and events that were read.
    looked_at: int = 0
    #: The lane's backlog is full, and takes no more jobs.
    full: bool = False
    #: Where the next call continues; None if everything is done.
    next: Place | None = None

    @property
    def is_enough(self) -> bool:
        """Whether one call has done as much as it may."""
        changed = self.reopened + self.due + self.opened
        return self.full or changed >= CHANGED_MOST or self.looked_at >= LOOKED_AT_MOST

    @property
    def has_changed(self) -> bool:
        """Whether a job was changed or opened."""
        return self.reopened + self.due + self.opened > 0

    def add(self, answers: Iterable[str]) -> None:
        """Count the ledger's answers for jobs. `known` and `other` are jobs that this call did not change."""
        for answer in answers:
            match answer:
                case "reopened":
                    self.reopened += 1
                case "due":
                    self.due += 1
                case "in_flight":
                    self.in_flight += 1
                case "gone":
                    self.gone += 1
                case "full":
                    self.full = True


#: Redelivers the next batch of a phase from a cursor on; returns the cursor of the one after it, or None at the end.
RedeliverBatch = Callable[
    [Integration, Selection, Cursor, str, RedeliveryTally, bool, Change | None], Awaitable[Cursor | None]
]


class RedeliveryService:
    """Redelivers jobs and missed events."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def run(
        self,
        integration: Integration,
        selection: Selection,
        mark: str,
        by: Actor,
        *,
        dry_run: bool = False,
        place: Place | None = None,
    ) -> RedeliveryTally:
        """Redeliver a selection of an integration's jobs, from the `place` where an earlier call stopped.

        `mark` is the redelivery's id, and `by` is who asks for it. The audit records it with the first job that
        changes. Raises LedgerError; a call with the same mark is then safe.
        """
        tally = RedeliveryTally()
        for name, redeliver_batch in self._phases(selection, place.phase if place else "jobs"):
            cursor: Cursor | None = place.cursor if place and name == place.phase else Cursor(selection.since)
            while cursor is not None:
                if tally.is_enough:
                    tally.next = Place(name, cursor)
                    return tally
                change = None if tally.has_changed else _change_of(integration, selection, by)
                cursor = await redeliver_batch(integration, selection, cursor, mark, tally, dry_run, change)
        return tally

    def _phases(self, selection: Selection, first: str) -> Iterator[tuple[str, RedeliverBatch]]:
        """Yield the phases of a selection from `first` on; those of the history only if there is one."""
        in_history = self._ledger.redelivery.has_history
        phases: dict[str, tuple[bool, RedeliverBatch]] = {
            "jobs": (bool(selection.states), self._jobs),
            "past": (bool(selection.states) and in_history, self._past_jobs),
            "events": (selection.missing, self._events),
            "missed": (selection.missing and in_history, self._missed_events),
        }
        names = list(phases)
        for name in names[names.index(first) :]:
            asked, redeliver_batch = phases[name]
            if asked:
                yield name, redeliver_batch

    async def _jobs(
        self,
        integration: Integration,
        selection: Selection,
        cursor: Cursor,
        mark: str,
        tally: RedeliveryTally,
        dry_run: bool,
        change: Change | None,
    ) -> Cursor | None:
        select = self._ledger.redelivery.select
        found = await select(integration.id, cursor, selection.till, selection.states, mark)
        return await self._redeliver(found, cursor, selection, mark, tally, dry_run, change)

    async def _past_jobs(
        self,
        integration: Integration,
        selection: Selection,
        cursor: Cursor,
        mark: str,
        tally: RedeliveryTally,
        dry_run: bool,
        change: Change | None,
    ) -> Cursor | None:
        select = self._ledger.redelivery.select_archived
        found = await select(integration.id, cursor, selection.till, selection.states, mark)
        return await self._redeliver(found, cursor, selection, mark, tally, dry_run, change)

    async def _redeliver(
        self,
        found: SelectedJobs,
        cursor: Cursor,
        selection: Selection,
        mark: str,
        tally: RedeliveryTally,
        dry_run: bool,
        change: Change | None,
    ) -> Cursor | None:
        tally.gone += found.gone
        tally.looked_at += found.looked_at
        if dry_run:
            tally.add(found.jobs.values())
        elif found.jobs:
            # Some may have been settled since the selection: a pending job that was delivered meanwhile stays so.
            tally.add(await self._ledger.redelivery.redeliver(list(found.jobs), mark, selection.states, change=change))
        # If the lane is full, the next call begins with the same page, and reopens the rest once the lane takes jobs.
        return cursor if tally.full else found.next

    async def _events(
        self,
        integration: Integration,
        selection: Selection,
        cursor: Cursor,
        mark: str,
        tally: RedeliveryTally,
        dry_run: bool,
        change: Change | None,
    ) -> Cursor | None:
        found = await self._ledger.events.select(integration.scope, cursor, selection.till, integration.observes)
        page = found.refs, found.looked_at, found.next
        return await self._open_missing(integration, page, cursor, tally, dry_run, change)

    async def _missed_events(
        self,
        integration: Integration,
        selection: Selection,
        cursor: Cursor,
        mark: str,
        tally: RedeliveryTally,
        dry_run: bool,
        change: Change | None,
    ) -> Cursor | None:
        select = self._ledger.redelivery.select_missed
        page = await select(integration.scope, cursor, selection.till, integration.observes)
        return await self._open_missing(integration, page, cursor, tally, dry_run, change)

    async def _open_missing(
        self,
        integration: Integration,
        page: tuple[Sequence[str], int, Cursor | None],
        cursor: Cursor,
        tally: RedeliveryTally,
        dry_run: bool,
        change: Change | None,
    ) -> Cursor | None:
        found, looked_at, following = page
        tally.looked_at += looked_at
        refs = await self._passing(integration, found)
        wanted = [(job_id(ref, integration.id), ref) for ref in refs]
        opened, full = await self._ledger.redelivery.open_missing(
            integration.id, wanted, dry_run=dry_run, change=change
        )
        tally.opened += opened
        if not full:
            tally.filtered += len(found) - len(refs)
        if full:
            # The next call begins with the same page, as in _jobs.
            tally.full = True
            return cursor
        return following

    async def _passing(self, integration: Integration, refs: Sequence[str]) -> Sequence[str]:
        """Return the references of those events that the integration's filter lets pass."""
        compiled = None if integration.filter is None else compile_filter(integration.filter)
        if not isinstance(compiled, ContentFilter):
            return refs
        passing: list[str] = []
        for first in range(0, len(refs), EVENTS_PER_READ):
            found = await self._ledger.events.stored(refs[first : first + EVENTS_PER_READ])
            passing += [stored.ref for stored in found if compiled.matches(content_of(stored))]
        return passing


def _change_of(integration: Integration, selection: Selection, by: Actor) -> Change:
    selected = {
        "from": rfc3339(selection.since),
        "to": rfc3339(selection.till),
        "states": sorted(selection.states),
        "missing": selection.missing,
    }
    scope = integration.scope.key
    return Change(by, ChangeAction.JOBS_REDELIVERED, scope, "integration", integration.id, {}, selected)
