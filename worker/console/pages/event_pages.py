"""The page of an event: what it holds, and what became of it for every integration of its scope."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from worker.console.html import pretty
from worker.console.pages.attempt_pages import job_redelivery
from worker.console.pages.event_rows import SHOWN, integrations_of, known_of, not_sent
from worker.console.visit import Answer, Html, SeeOther, Visit, nothing_here
from worker.domain.change import Change, ChangeAction
from worker.domain.event import event_ref
from worker.domain.event_parser import ID_MAX_CHARS
from worker.domain.integration_log import IntegrationLog
from worker.domain.job import Job, JobState, job_id
from worker.ledger.inspection.event_history import EventHistory

#: Jobs of an event that one form looks through.
REDELIVERED_MOST = 1_000
#: Jobs whose attempts are on the time line, and attempts of each.
TIMED_JOBS, TIMED_ATTEMPTS = 10, 20


@dataclass(frozen=True, slots=True)
class Mark:
    """An attempt on the time line; `at` is its place there, from 0 to 100."""

    log: IntegrationLog
    at: float


async def show(visit: Visit) -> Answer:
    """Return the page of an event."""
    history, offset = await _history(visit, visit.offset), visit.number("others")
    others = await integrations_of(visit, visit.scope, offset)
    event, stored = history.stored.event, history.stored
    return Html(
        "event.html",
        {
            "history": history,
            "event": event,
            "erased": stored.erased,
            "payload": pretty(event.raw.decode(errors="replace")) if visit.is_admin and not stored.erased else "",
            "known": await known_of(visit, history, others),
            "others": others,
            "others_offset": offset,
            "reasons": await not_sent(visit, history, others),
            "lines": await _time_lines(visit, history),
            "failed": sum(each.job.state is JobState.FAILED for each in history.jobs),
            "shown_most": SHOWN,
        },
    )


async def redeliver(visit: Visit) -> Answer:
    """Redeliver the event to one integration, or to all whose delivery failed."""
    history = await _history(visit)
    ledger, ref = visit.services.ledger, history.stored.ref
    chosen = visit.form.get("integration", "")
    jobs = await ledger.jobs.get([job_id(ref, chosen)]) if chosen else [job async for job in _failed(visit, ref)]
    for job in jobs:
        # One after the other, because each is a change of its own in the audit.
        change = job_redelivery(visit, visit.scope, job.id)
        await ledger.redelivery.redeliver([job.id], change=change)
    visit.services.wakeups.lanes([each.integration_id for each in jobs])
    return SeeOther(visit.link(_path(history.stored.event.id)))


async def _failed(visit: Visit, ref: str) -> AsyncIterator[Job]:
    """Yield the failed jobs of an event, up to REDELIVERED_MOST of all its jobs."""
    for offset in range(0, REDELIVERED_MOST, SHOWN):
        page = await visit.services.ledger.events.show(ref, offset, SHOWN)
        for each in page.jobs if page else ():
            if each.job.state is JobState.FAILED:
                yield each.job
        if page is None or offset + SHOWN >= page.total:
            return


async def erase_form(visit: Visit) -> Answer:
    """Ask before an event is erased."""
    history = await _history(visit)
    pending = sum(each.job.state is JobState.PENDING for each in history.jobs)
    return Html("erase.html", {"history": history, "event": history.stored.event, "pending": pending})


async def erase(visit: Visit) -> Answer:
    """Erase an event's data and the answers to it, and cancel what is pending of it."""
    history = await _history(visit)
    event = history.stored.event
    change = Change(visit.actor, ChangeAction.EVENT_ERASED, visit.scope.key, "event", event.id)
    if not await visit.services.ledger.erasure.erase(history.stored.ref, change):
        raise nothing_here("event with this id")
    return SeeOther(visit.link(_path(event.id)))


def _path(event_id: str) -> str:
    return f"/events/{quote(event_id, safe='')}"


async def _history(visit: Visit, offset: int = 0) -> EventHistory:
    event_id = visit.params["event"]
    if visit.chosen is None or not 0 < len(event_id) <= ID_MAX_CHARS:
        raise nothing_here("event with this id")
    found = await visit.services.ledger.events.show(event_ref(visit.scope, event_id), offset, SHOWN)
    if found is None:
        raise nothing_here("event with this id")
    return found


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
