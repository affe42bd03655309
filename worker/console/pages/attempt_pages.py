"""Attempts: those of a store, and the page of one."""

from worker.console.visit import PAGE, Answer, Html, PageRefusal, SeeOther, Visit, nothing_here
from worker.domain.change import Change, ChangeAction
from worker.domain.event import Scope
from worker.domain.job import Job

#: The attempts of a job that its page lists.
LISTED = 50


async def listing(visit: Visit) -> Answer:
    """Return a page of a store's attempts, the newest first; all of them or the failed ones."""
    if visit.chosen is None:
        return SeeOther(visit.link("/stores"))
    failed = visit.query.get("show") == "failed"
    logs = visit.services.ledger.logs
    page = await (logs.failures if failed else logs.of_scope)(visit.scope, visit.offset, PAGE)
    ids = list(dict.fromkeys(each.integration_id for each in page.items))
    names = {each.id: each.name for each in await visit.services.ledger.integrations.get(ids)} if ids else {}
    return Html("attempts.html", {"logs": page, "failed": failed, "names": names, "shown_most": PAGE})


async def show(visit: Visit) -> Answer:
    """Return the page of an attempt, with the other attempts of its job."""
    integration = await visit.integration()
    job_id, text = visit.uuid("job", "delivery"), visit.params["attempt"]
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        raise nothing_here("attempt")
    page = await visit.services.ledger.logs.of_job(job_id, 0, LISTED, integration.id)
    wanted = next((log for log in page.items if log.attempt == int(text)), None)
    if page.scope_key != integration.scope.key or page.integration_id != integration.id or wanted is None:
        raise nothing_here("attempt")
    jobs = await visit.services.ledger.jobs.get([job_id])
    longest = max(each.processing_time for each in page.items) or 1.0
    values = {"each": integration, "log": wanted, "logs": page.items, "job": jobs[0] if jobs else None}
    return Html("attempt.html", {**values, "longest": longest})


async def retry(visit: Visit) -> Answer:
    """Deliver a job again: reopen it if it has ended, or make its next attempt due now."""
    integration = await visit.integration()
    job = await job_of(visit, integration.id)
    change = job_redelivery(visit, integration.scope, job.id)
    (answer,) = await visit.services.ledger.redelivery.redeliver([job.id], change=change)
    if answer == "gone":
        raise PageRefusal(409, "Too late", "Retention has dropped the event of this delivery.")
    if answer == "full":
        raise PageRefusal(409, "Backlog full", "The integration has too many waiting deliveries; try again later.")
    visit.services.wakeups.lanes([integration.id])
    return SeeOther(visit.link(f"/integrations/{integration.id}", integration.scope))


async def job_of(visit: Visit, integration_id: str) -> Job:
    """Return the job that the path names. Raises PageRefusal (404)."""
    found = await visit.services.ledger.jobs.get([visit.uuid("job", "delivery")])
    if not found or found[0].integration_id != integration_id:
        raise nothing_here("delivery")
    return found[0]


def job_redelivery(visit: Visit, scope: Scope, job_id: str) -> Change:
    """Return the audit's record of a job's redelivery."""
    return Change(visit.actor, ChangeAction.JOB_REDELIVERED, scope.key, "integration-job", job_id)
