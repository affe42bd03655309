"""The search for events of a resource, with what became of each event for every integration of its scope."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.domain.job import job_id
from worker.domain.missing_job import MissingJob, missing_job
from worker.integrations.filter_reasons import FilterReasons
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
        reasons = FilterReasons(integrations)
        found: list[ExplainedEvent] = []
        for summary in summaries:
            history = await self._ledger.events.show(summary.ref, 0, JOBS_MOST)
            if history is not None:
                found.append(ExplainedEvent(summary, history, _missing(history, integrations, reasons)))
        return found, {each.id: each.name for each in integrations}

    async def _integrations(self, scope: Scope) -> list[Integration]:
        found: list[Integration] = []
        while len(found) < INTEGRATIONS_MOST:
            items = (await self._ledger.integrations.page(scope, len(found), _PAGE)).items
            found += items
            if len(items) < _PAGE:
                break
        return found


def missing_job_of(history: EventHistory, integration: Integration, reasons: FilterReasons) -> MissingJob:
    """Return why an integration has no job of an event; `reasons` has the integration's filter."""
    stored = history.stored
    return missing_job(
        integration,
        stored.event.type,
        stored.accepted_at,
        waiting=history.waiting,
        set_aside=history.set_aside,
        forgotten=job_id(stored.ref, integration.id) in history.forgotten,
        left_out=reasons.of(integration.id, stored),
    )


def _missing(
    history: EventHistory, integrations: Sequence[Integration], reasons: FilterReasons
) -> Sequence[MissingJob]:
    if history.total > JOBS_MOST:
        # Not all of its jobs were read, so nobody is known to have none.
        return ()
    had = {each.job.integration_id for each in history.jobs}
    return [missing_job_of(history, each, reasons) for each in integrations if each.id not in had]
