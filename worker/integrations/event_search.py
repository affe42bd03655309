"""The search for events of a resource, with what became of each event for every integration of its scope."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.domain.content_filter import ContentFilter, compile_filter, content_of
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.domain.job import job_id
from worker.domain.missing_job import MissingJob, missing_job
from worker.domain.stored_event import StoredEvent
from worker.ledger import Ledger
from worker.ledger.inspection.event_history import EventHistory, EventSummary

#: Integrations of a scope that are explained at most.
INTEGRATIONS_MOST = 1_000
#: Jobs of one event that are shown at most.
JOBS_MOST = 100
#: Integrations per read.
_PAGE = 200


@dataclass(frozen=True, slots=True)
class ExplainedEvent:
    """An event with its jobs, and the integrations that have none."""

    summary: EventSummary
    history: EventHistory
    missing: Sequence[MissingJob]


class EventSearch:
    """Finds the events of a resource and explains them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def explained(
        self, scope: Scope, summaries: Sequence[EventSummary]
    ) -> tuple[Sequence[ExplainedEvent], dict[str, str]]:
        """Return events with what became of each; those that retention drops meanwhile are left out."""
        integrations = await self._integrations(scope) if summaries else []
        compiled = {each.id: compile_filter(each.filter) for each in integrations if each.filter is not None}
        filters = {each: found for each, found in compiled.items() if isinstance(found, ContentFilter)}
        found: list[ExplainedEvent] = []
        for summary in summaries:
            history = await self._ledger.events.show(summary.ref, 0, JOBS_MOST)
            if history is not None:
                found.append(ExplainedEvent(summary, history, _missing(summary, history, integrations, filters)))
        return found, {each.id: each.name for each in integrations}

    async def _integrations(self, scope: Scope) -> list[Integration]:
        found: list[Integration] = []
        while len(found) < INTEGRATIONS_MOST:
            items = (await self._ledger.integrations.page(scope, len(found), _PAGE)).items
            found += items
            if len(items) < _PAGE:
                break
        return found


def _missing(
    summary: EventSummary,
    history: EventHistory,
    integrations: Sequence[Integration],
    filters: Mapping[str, ContentFilter],
) -> Sequence[MissingJob]:
    if history.total > JOBS_MOST:
        # Not all of its jobs were read, so nobody is known to have none.
        return ()
    content = content_of(history.stored) if filters else {}
    had = {each.job.integration_id for each in history.jobs}
    return [
        missing_job(
            each,
            summary.type,
            summary.accepted_at,
            waiting=history.waiting,
            set_aside=history.set_aside,
            forgotten=job_id(summary.ref, each.id) in history.forgotten,
            left_out=_left_out(filters.get(each.id), history.stored, content),
        )
        for each in integrations
        if each.id not in had
    ]


def _left_out(content_filter: ContentFilter | None, stored: StoredEvent, content: Mapping[str, Any]) -> str:
    """Return why a filter leaves an event out, in words; empty if it matches, or if there is no filter."""
    if content_filter is None:
        return ""
    if stored.erased:
        return "it has a filter, which cannot be checked any more: the event's data was erased"
    unmet = content_filter.unmet(content)
    return f"its filter does not match: {unmet}" if unmet is not None else ""
