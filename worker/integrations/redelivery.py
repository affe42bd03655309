"""Redelivering what an integration had, or missed: chosen by time and state, paced by its lane.

A redelivery has an id of its own, which marks the jobs that it reopened: repeating it reopens none twice, so a caller
whose answer was lost simply asks again with the same id.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from worker.domain.integration import Integration
from worker.domain.job import JobState, job_id
from worker.ledger import Ledger
from worker.ledger.pages import Cursor

#: Jobs and events that one call looks at, at most: a fraction of a second of Redis' time for each 10,000.
LOOKED_AT_MOST = 100_000
#: Jobs that one call reopens or opens, at most.
CHANGED_MOST = 10_000

_PLACE = re.compile(r"(jobs|events)-([0-9]{1,15})-((?:[0-9a-f-]{36})?)")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which jobs: opened from `since` to `till` (ms since 1970, both included), and in one of the states.

    With `missing`, also retained events of that time which the integration observes and has no job of.
    """

    since: int
    till: int
    states: frozenset[JobState]
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a redelivery stopped: among the jobs, or among the events that may have been missed."""

    phase: str
    cursor: Cursor

    def __str__(self) -> str:
        return f"{self.phase}-{self.cursor.since}-{self.cursor.after}"

    @classmethod
    def read(cls, text: str) -> "Place":
        """What str() wrote. Raises ValueError."""
        found = _PLACE.fullmatch(text)
        if found is None:
            raise ValueError(text)
        return cls(found[1], Cursor(int(found[2]), found[3]))


@dataclass(slots=True)
class RedeliveryTally:
    """What a redelivery did, or, in a dry run, what it would do."""

    #: Jobs that had ended and are owed anew.
    reopened: int = 0
    #: Jobs that waited for their next attempt, which is due now.
    due: int = 0
    #: Jobs whose attempt is under way, which are left alone.
    in_flight: int = 0
    #: Jobs of events that had none.
    opened: int = 0
    #: Jobs that are known, while retention has dropped their event.
    gone: int = 0
    looked_at: int = 0
    #: True where the lane's backlog had no room for more.
    full: bool = False
    #: Where the next call goes on; None where all is done.
    next: Place | None = None

    @property
    def is_enough(self) -> bool:
        """True once a call has done its share."""
        changed = self.reopened + self.due + self.opened
        return self.full or changed >= CHANGED_MOST or self.looked_at >= LOOKED_AT_MOST

    def add(self, answers: Iterable[str]) -> None:
        """Counts what the ledger answered for jobs; `known` and `other` are none of this call's."""
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


class RedeliveryService:
    """Reopens jobs of the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def run(
        self,
        integration: Integration,
        selection: Selection,
        mark: str,
        *,
        dry_run: bool = False,
        place: Place | None = None,
    ) -> RedeliveryTally:
        """Redelivers a selection of an integration's jobs, from `place` on where an earlier call stopped there.

        Raises LedgerError; asking again with the same mark is safe.
        """
        tally = RedeliveryTally()
        phases = [("jobs", self._jobs)] if selection.states else []
        phases += [("events", self._events)] if selection.missing else []
        started = place is None
        for name, redeliver_batch in phases:
            if not started and place is not None and name != place.phase:
                continue
            cursor: Cursor | None = Cursor(selection.since) if started or place is None else place.cursor
            started = True
            while cursor is not None:
                if tally.is_enough:
                    tally.next = Place(name, cursor)
                    return tally
                cursor = await redeliver_batch(integration, selection, cursor, mark, tally, dry_run)
        return tally

    async def _jobs(
        self,
        integration: Integration,
        selection: Selection,
        cursor: Cursor,
        mark: str,
        tally: RedeliveryTally,
        dry_run: bool,
    ) -> Cursor | None:
        found = await self._ledger.redelivery.select(integration.id, cursor, selection.till, selection.states, mark)
        tally.gone += found.gone
        tally.looked_at += found.looked_at
        if dry_run:
            tally.add(found.jobs.values())
        elif found.jobs:
            # Some may have been settled since they were selected: what was pending and has been delivered stays so.
            tally.add(await self._ledger.redelivery.redeliver(list(found.jobs), mark, selection.states))
        # What is left is reopened once the lane has room: the next call begins with the same portion.
        return cursor if tally.full else found.next

    async def _events(
        self,
        integration: Integration,
        selection: Selection,
        cursor: Cursor,
        mark: str,
        tally: RedeliveryTally,
        dry_run: bool,
    ) -> Cursor | None:
        found = await self._ledger.events.select(integration.scope, cursor, selection.till, integration.observes)
        tally.looked_at += found.looked_at
        wanted = [(job_id(ref, integration.id), ref) for ref in found.refs]
        opened, full = await self._ledger.redelivery.open_missing(integration.id, wanted, dry_run=dry_run)
        tally.opened += opened
        if full:
            # As above.
            tally.full = True
            return cursor
        return found.next
