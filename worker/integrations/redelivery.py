"""Redelivery of jobs that an integration had, and of events that it missed.

A caller selects jobs by time and state, and the integration's lane paces their delivery. Each redelivery has an id,
which marks the jobs that it reopened. A call with the same id reopens no job twice, so a caller whose answer was lost
repeats the call with that id.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from worker.domain.change import Actor, Change, ChangeAction
from worker.domain.content_filter import ContentFilter, compile_filter, content_of
from worker.domain.event import rfc3339
from worker.domain.integration import Integration
from worker.domain.job import JobState, job_id
from worker.ledger import Ledger
from worker.ledger.inspection.event_history import SelectEvents
from worker.ledger.lanes.reopening import SelectJobs
from worker.ledger.pages import Cursor

#: Most jobs and events that one call reads. Each 10,000 take a fraction of a second of Redis's time.
LOOKED_AT_MOST = 100_000
#: Most jobs that one call reopens or opens.
CHANGED_MOST = 10_000
#: Events whose data is read at once for a filter; each may have a mebibyte.
EVENTS_PER_READ = 10

#: The phases of a redelivery, in this order: jobs, and events without a job, each of the ledger and of the history.
PHASES = ("jobs", "past", "events", "missed")
#: A cursor: the phase, the time (ms) and the last id: that of a job, or the reference of an event.
CURSOR_PATTERN = (
    "(?:(?:jobs|past)-[0-9]{1,15}-(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})?"
    "|(?:events|missed)-[0-9]{1,15}-(?:[0-9A-Za-z_-]{22})?)"
)
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
    """Where a redelivery stopped: one of PHASES, and the place in it."""

    phase: str
    cursor: Cursor

    def __str__(self) -> str:
        return f"{self.phase}-{self.cursor.since}-{self.cursor.after}"

    @classmethod
    def read(cls, text: str) -> "Place":
        """Return the place from a text that `str` made. Raises ValueError for any other text."""
        if not _PLACE.fullmatch(text):
            raise ValueError(text)
        phase, since, after = text.split("-", 2)
        return cls(phase, Cursor(int(since), after))


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


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a redelivery, and what it has done so far."""

    integration: Integration
    selection: Selection
    mark: str
    dry_run: bool
    #: The filter that decides about missed events; None lets them all pass.
    content_filter: ContentFilter | None
    tally: RedeliveryTally


#: Redelivers the page of a phase that begins at a cursor; returns the start of the next page, or None at the end.
_RedeliverPage = Callable[[Cursor, Change | None], Awaitable[Cursor | None]]


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
        call = _Call(integration, selection, mark, dry_run, _filter_of(integration), tally)
        first = place.phase if place else PHASES[0]
        for phase, redeliver_page in self._phases(call):
            if PHASES.index(phase) < PHASES.index(first):
                continue
            cursor: Cursor | None = place.cursor if place and phase == first else Cursor(selection.since)
            while cursor is not None:
                if tally.is_enough:
                    tally.next = Place(phase, cursor)
                    return tally
                cursor = await redeliver_page(
                    cursor, None if tally.has_changed else _change_of(integration, selection, by)
                )
        return tally

    def _phases(self, call: _Call) -> Iterator[tuple[str, _RedeliverPage]]:
        if call.selection.states:
            for phase, select_jobs in self._ledger.redelivery.selections().items():
                yield phase, partial(self._jobs, call, select_jobs)
        if call.selection.missing:
            for phase, select_events in self._ledger.events.selections().items():
                yield phase, partial(self._missed, call, select_events)

    async def _jobs(self, call: _Call, select: SelectJobs, cursor: Cursor, change: Change | None) -> Cursor | None:
        selection, tally = call.selection, call.tally
        found = await select(call.integration.id, cursor, selection.till, selection.states, call.mark)
        tally.gone += found.gone
        tally.looked_at += found.looked_at
        if call.dry_run:
            tally.add(found.jobs.values())
        elif found.jobs:
            # Some may have been settled since the selection: a pending job that was delivered meanwhile stays so.
            redeliver = self._ledger.redelivery.redeliver
            tally.add(await redeliver(list(found.jobs), call.mark, selection.states, change=change))
        # If the lane is full, the next call begins with the same page, and reopens the rest once the lane takes jobs.
        return cursor if tally.full else found.next

    async def _missed(self, call: _Call, select: SelectEvents, cursor: Cursor, change: Change | None) -> Cursor | None:
        integration, tally = call.integration, call.tally
        found = await select(integration.scope, cursor, call.selection.till, integration.observes)
        tally.looked_at += found.looked_at
        refs = found.refs if call.content_filter is None else await self._passing(call.content_filter, found.refs)
        wanted = [(job_id(ref, integration.id), ref) for ref in refs]
        opened, tally.full = await self._ledger.redelivery.open_missing(
            integration.id, wanted, dry_run=call.dry_run, change=change
        )
        tally.opened += opened
        if tally.full:
            # The next call begins with the same page, as in _jobs.
            return cursor
        tally.filtered += len(found.refs) - len(refs)
        return found.next

    async def _passing(self, content_filter: ContentFilter, refs: Sequence[str]) -> Sequence[str]:
        """Return the references of those events that a filter lets pass."""
        passing: list[str] = []
        for first in range(0, len(refs), EVENTS_PER_READ):
            found = await self._ledger.events.stored(refs[first : first + EVENTS_PER_READ])
            passing += [stored.ref for stored in found if content_filter.matches(content_of(stored))]
        return passing


def _filter_of(integration: Integration) -> ContentFilter | None:
    compiled = None if integration.filter is None else compile_filter(integration.filter)
    return compiled if isinstance(compiled, ContentFilter) else None


def _change_of(integration: Integration, selection: Selection, by: Actor) -> Change:
    selected = {
        "from": rfc3339(selection.since),
        "to": rfc3339(selection.till),
        "states": sorted(selection.states),
        "missing": selection.missing,
    }
    scope = integration.scope.key
    return Change(by, ChangeAction.JOBS_REDELIVERED, scope, "integration", integration.id, {}, selected)
