"""What pages show of an event: its integrations, and those that it was not sent to, with the reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.console.visit import Visit
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.domain.job import job_id
from worker.domain.missing_job import MissingJob
from worker.integrations.event_search import missing_job_of
from worker.integrations.filter_reasons import FilterReasons
from worker.ledger.inspection.event_history import EventHistory

#: Integrations and jobs of an event that a page shows at most.
SHOWN = 100


@dataclass(frozen=True, slots=True)
class NotSent:
    """An integration that has no job of an event, and why."""

    integration: Integration
    missing: MissingJob
    #: When the event was accepted (ms since 1970).
    accepted_at: int


@dataclass(frozen=True, slots=True)
class Integrations:
    """A page of a scope's integrations, and the number of all."""

    items: Sequence[Integration]
    total: int
    #: Why their filters leave events out.
    reasons: FilterReasons


async def integrations_of(visit: Visit, scope: Scope, offset: int = 0) -> Integrations:
    """Return a page of a scope's integrations."""
    page = await visit.services.ledger.integrations.page(scope, offset, SHOWN)
    return Integrations(page.items, page.total, FilterReasons(page.items))


async def known_of(visit: Visit, history: EventHistory, others: Integrations) -> Mapping[str, Integration]:
    """Return the integrations of an event's jobs, by id; `others` need not be read again."""
    known = {each.id: each for each in others.items}
    missing = [each.job.integration_id for each in history.jobs if each.job.integration_id not in known]
    if missing:
        known |= {each.id: each for each in await visit.services.ledger.integrations.get(missing)}
    return known


async def not_sent(visit: Visit, history: EventHistory, others: Integrations) -> Sequence[NotSent]:
    """Return which of a page of integrations have no job of an event, and why; `edw find` gives the same reasons."""
    stored = history.stored
    jobs = {job_id(stored.ref, each.id): each for each in others.items}
    had = {each.job.id for each in history.jobs}
    if history.total > len(history.jobs) + len(history.forgotten):
        had = {each.id for each in await visit.services.ledger.jobs.get(list(jobs))}
    return [
        NotSent(each, missing_job_of(history, each, others.reasons), stored.accepted_at)
        for job, each in jobs.items()
        if job not in had
    ]
