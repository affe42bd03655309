"""The page of an event: what it holds, and what became of it for every integration of its scope."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from worker.console.html import pretty
from worker.console.pages.attempt_pages import job_redelivery
from worker.console.visit import Answer, Html, SeeOther, Visit, nothing_here
from worker.domain.event import event_ref
from worker.domain.event_parser import ID_MAX_CHARS
from worker.domain.integration import Integration
from worker.domain.integration_log import IntegrationLog
from worker.domain.job import JobState
from worker.ledger.inspection.event_history import EventHistory

#: Integrations and jobs that the page shows at most.
SHOWN = 100
#: Jobs whose attempts are on the time line, and attempts of each.
TIMED_JOBS, TIMED_ATTEMPTS = 10, 20


@dataclass(frozen=True, slots=True)
class Mark:
    """An attempt on the time line; `at` is its place there, from 0 to 100."""

    log: IntegrationLog
    at: float


async def show(visit: Visit) -> Answer:
    """Return the page of an event."""
    history = await _history(visit)
    others = await visit.services.ledger.integrations.page(visit.scope, 0, SHOWN)
    with_job = {each.job.integration_id for each in history.jobs}
    known = {each.id: each for each in others.items}
    missing = [each for each in with_job if each not in known]
    known |= {each.id: each for each in await visit.services.ledger.integrations.get(missing)} if missing else {}
    event = history.stored.event
    payload = pretty(event.raw.decode(errors="replace")) if visit.is_admin else ""
    reasons = [(each, _why_not(each, event.type, history)) for each in others.items if each.id not in with_job]
    return Html(
        "event.html",
        {
            "history": history,
            "event": event,
            "payload": payload,
            "known": known,
            "reasons": reasons,
            "lines": await _time_lines(visit, history),
            "failed": sum(each.job.state is JobState.FAILED for each in history.jobs),
        },
    )


async def redeliver(visit: Visit) -> Answer:
    """Redeliver the event to one integration, or to all whose delivery failed."""
    history = await _history(visit)
    chosen = visit.form.get("integration", "")
    jobs = [
        each.job
        for each in history.jobs
        if (each.job.integration_id == chosen if chosen else each.job.state is JobState.FAILED)
    ]
    for job in jobs:
        # One after the other, because each is a change of its own in the audit.
        change = job_redelivery(visit, visit.scope, job.id)
        await visit.services.ledger.redelivery.redeliver([job.id], change=change)
    visit.services.wakeups.lanes([each.integration_id for each in jobs])
    return SeeOther(visit.link(f"/events/{quote(history.stored.event.id, safe='')}"))


async def _history(visit: Visit) -> EventHistory:
    event_id = visit.params["event"]
    if visit.chosen is None or not 0 < len(event_id) <= ID_MAX_CHARS:
        raise nothing_here("event with this id")
    found = await visit.services.ledger.events.show(event_ref(visit.scope, event_id), 0, SHOWN)
    if found is None:
        raise nothing_here("event with this id")
    return found


def _why_not(integration: Integration, event_type: str, history: EventHistory) -> str:
    if history.waiting:
        return "the event is not matched yet"
    if event_type not in integration.observes:
        return f"it does not observe {event_type}"
    if integration.created_at > history.stored.accepted_at:
        return "it was created after the event"
    if not integration.enabled:
        return "it is disabled"
    return "it was disabled, or did not observe the type, when the event came"


async def _time_lines(visit: Visit, history: EventHistory) -> Mapping[str, Sequence[Mark]]:
    """Return the attempts of the first jobs, on one scale from the event's acceptance until the last attempt."""
    logs = visit.services.ledger.logs
    found = {
        each.job.id: (await logs.of_job(each.job.id, 0, TIMED_ATTEMPTS, each.job.integration_id)).items
        for each in history.jobs[:TIMED_JOBS]
        if each.job.attempts
    }
    start = history.stored.accepted_at
    end = max((log.created_at for items in found.values() for log in items), default=start)
    width = max(1, end - start)
    return {
        job: [Mark(log, round(100 * max(0, log.created_at - start) / width, 2)) for log in items]
        for job, items in found.items()
    }
