"""Attempts: those of a store, and the page of one."""

from collections.abc import Sequence

from worker.console.html import plain, pretty
from worker.console.phases import phases_of
from worker.console.process_name import process_name
from worker.console.visit import PAGE, Answer, Download, Html, PageRefusal, SeeOther, Visit, nothing_here
from worker.domain.change import Change, ChangeAction
from worker.domain.curl_command import BODY_FILE, curl_line, is_http
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.domain.integration_log import IntegrationLog
from worker.domain.job import Job
from worker.domain.trace_context import TRACEPARENT, TraceContext
from worker.integrations.sent_body import sent_body

#: The attempts of a job that its page lists.
LISTED = 50


async def listing(visit: Visit) -> Answer:
    """Return a page of a store's attempts, the newest first; all of them or the failed ones."""
    if visit.chosen is None:
        return SeeOther(visit.link("/stores"))
    failed = visit.query.get("show") == "failed"
    logs = visit.services.ledger.logs.until(visit.till)
    page = await (logs.failures if failed else logs.of_scope)(visit.scope, visit.offset, PAGE)
    ids = list(dict.fromkeys(each.integration_id for each in page.items))
    names = {each.id: each.name for each in await visit.services.ledger.integrations.get(ids)} if ids else {}
    older = visit.older(page, PAGE, lambda log: log.created_at)
    values = {"logs": page, "failed": failed, "names": names, "shown_most": PAGE, "older": older}
    return Html("attempts.html", values)


async def show(visit: Visit) -> Answer:
    """Return the page of an attempt: its answer or its request, its times, and the other attempts of its job."""
    integration, found, logs = await _attempt(visit)
    ledger = visit.services.ledger
    (log,) = await ledger.logs.with_exchanges([found])
    jobs = await ledger.jobs.get([log.job_id])
    tab = "request" if visit.query.get("tab") == "request" else "answer"
    exchange = log.exchange
    values = {
        "each": integration,
        "log": log,
        "logs": logs,
        "job": jobs[0] if jobs else None,
        "longest": max(each.processing_time for each in logs) or 1.0,
        "tab": tab,
        "request": exchange.request if exchange else None,
        "answer": exchange.answer if exchange else None,
        "phases": phases_of(exchange.times, log.processing_time) if exchange else (),
        "worker": process_name(log.worker) if log.worker and visit.is_operator else "",
        "trace_id": _trace_id(log),
    }
    return Html("attempt.html", values | (await _request_values(visit, log) if tab == "request" else {}))


async def body(visit: Visit) -> Answer:
    """Return the body that the attempt sent, as a file for the curl command."""
    _, log, _ = await _attempt(visit)
    sent = await sent_body(visit.services.ledger, log)
    if sent is None:
        raise PageRefusal(404, "Not found", "The event of this attempt is erased or no longer kept.")
    return Download(BODY_FILE, sent)


async def _attempt(visit: Visit) -> tuple[Integration, IntegrationLog, Sequence[IntegrationLog]]:
    """Return the integration, the log and the logs of the whole job that the path names. Raises PageRefusal (404)."""
    integration = await visit.integration()
    job_id, text = visit.uuid("job", "delivery"), visit.params["attempt"]
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        raise nothing_here("attempt")
    page = await visit.services.ledger.logs.of_job(job_id, 0, LISTED, integration.id)
    wanted = next((log for log in page.items if log.attempt == int(text)), None)
    if page.scope_key != integration.scope.key or page.integration_id != integration.id or wanted is None:
        raise nothing_here("attempt")
    return integration, wanted, page.items


async def _request_values(visit: Visit, log: IntegrationLog) -> dict[str, object]:
    """Return the body that was sent, for admins, and the curl command, if what was sent is kept."""
    request = log.exchange.request if log.exchange else None
    sent = await sent_body(visit.services.ledger, log) if visit.is_admin else None
    text = sent.decode(errors="replace") if sent is not None else ""
    return {
        "curl": curl_line(request) if request is not None and is_http(request) else "",
        "sent": plain(text),
        "sent_pretty": pretty(text),
        "sent_bytes": len(sent) if sent is not None else 0,
    }


def _trace_id(log: IntegrationLog) -> str:
    """Return the id of the trace that the receiver got; empty if its request is not kept, or had none."""
    request = log.exchange.request if log.exchange else None
    for name, value in request.headers if request is not None else ():
        if name.lower() == TRACEPARENT and (trace := TraceContext.of(value)):
            return trace.trace_id
    return ""


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
