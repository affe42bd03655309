"""Handlers of jobs: list, read and redeliver."""

from collections.abc import Mapping
from time import time as clock
from typing import Any
from uuid import UUID, uuid4, uuid5

from msgspec import UNSET

from config.settings import Settings
from worker.api.api_errors import api_error, bad_parameter, invalid, not_found
from worker.api.filters import FILTER, Field, milliseconds, number, parse_filter, text, time, word
from worker.api.handlers.integration_handlers import PATH
from worker.api.handlers.log_handlers import filtered_page, kept, latest
from worker.api.request_context import Reply, RequestContext
from worker.api.schemas import RedeliveredJob, RedeliveryDocument, RedeliveryMeta, Single
from worker.domain.change import Change, ChangeAction
from worker.domain.event import Refusal, rfc3339
from worker.domain.integration import Integration
from worker.domain.job import Job, JobState
from worker.domain.resources import job_document
from worker.integrations.redelivery import Place, RedeliveryTally, Selection
from worker.ledger.pages import Page

IDEMPOTENCY_KEY = "Idempotency-Key"
#: Characters of an idempotency key at most.
KEY_MAX_CHARS = 255

STATES = tuple(state.value for state in JobState)
FIELDS: Mapping[str, Field[Job]] = {
    "state": word(lambda job: job.state.value, STATES),
    "reason": text(lambda job: job.reason),
    "attempts": number(lambda job: job.attempts),
    "created_at": time(lambda job: job.opened_at),
    "ended_at": time(lambda job: job.ended_at),
    "next_attempt_at": time(lambda job: job.due_at),
    "triggered_by": text(lambda job: job.event_type),
    "event_id": text(lambda job: job.event_id),
}
_ATTRIBUTES = ("from", "to", "state", "missing", "partial", "dry_run", "cursor")


async def listing(call: RequestContext) -> Reply:
    """Return a page of an integration's jobs, the newest first; one round trip to Redis without a filter."""
    integration_id = call.named("integration_id", "integration")
    given = call.request.query.get(FILTER)
    conditions = parse_filter(given, FIELDS) if given else ()
    jobs = call.services.ledger.jobs.until(latest(conditions))

    async def read(offset: int, limit: int) -> Page[Job]:
        page = await jobs.of_integration(integration_id, offset, limit)
        call.must_own(page.scope_key, "integration")
        return page

    page, filtered = await filtered_page(call, read, conditions)
    documents = [job_document(job) for job in page.items]
    path = f"{PATH}/{integration_id}/jobs"
    return Reply(
        call.paging.collection(
            *(documents, page.total, path, kept(call)),
            filtered=filtered,
            at_least=page.at_least,
            history_away=page.history_away,
        )
    )


async def read(call: RequestContext) -> Reply:
    """Return a job with its state, its attempts and the time of the next one."""
    return Reply(Single(job_document(await _job(call, await call.integration()))))


async def redeliver_one(call: RequestContext) -> Reply:
    """Reopen a job that has ended, or make a waiting job due now."""
    integration = await call.integration()
    job = await _job(call, integration)
    mark = _mark(integration, _key(call))
    change = Change(call.actor, ChangeAction.JOB_REDELIVERED, call.scope.key, "integration-job", job.id)
    (word_,) = await call.services.ledger.redelivery.redeliver([job.id], mark, change=change)
    if word_ == "gone":
        raise api_error(409, "retention has dropped the event of this job, so it cannot be delivered again")
    if word_ == "full":
        raise api_error(
            409,
            "the integration's backlog is full (EDW_LANE_BACKLOG, EDW_LANE_BACKLOG_BYTES): reopening this job would "
            "cancel another; try again once some jobs have been delivered",
        )
    call.services.wakeups.lanes([integration.id])
    return Reply(RedeliveredJob(job_document(await _job(call, integration)), RedeliveryMeta(word_)), 202)


async def redeliver_many(call: RequestContext) -> Reply:
    """Redeliver jobs by time and state; with `missing`, also observed events that had no job."""
    integration = await call.integration()
    attributes = await _attributes(call)
    selection, dry_run, place = _selection(attributes, _now())
    kept, setting = _retention(call.services.settings)
    horizon = _now() - round(kept * 1000)
    if "from" in attributes and selection.since < horizon and not attributes.get("partial", False):
        # Retention counts from a job's end. Older jobs may still exist, if they are pending or ended late.
        raise api_error(
            409,
            f"retention ({setting}) has dropped jobs that ended before {rfc3339(horizon)}: use a later "
            '`from`, or "partial": true to redeliver what is left of the whole time',
        )
    key = _key(call)
    tally = await call.services.redelivery_service.run(
        integration, selection, _mark(integration, key), call.actor, dry_run=dry_run, place=place
    )
    if not dry_run:
        call.services.wakeups.lanes([integration.id])
    return Reply(Single(_document(tally, key, dry_run=dry_run)), 200 if dry_run else 202)


def _retention(settings: Settings) -> tuple[float, str]:
    """Return how far back a redelivery reaches (seconds), and the setting that limits it."""
    if settings.history_url is None:
        return settings.event_retention, "EDW_EVENT_RETENTION"
    return min(settings.history_payloads, settings.history_retention), "EDW_HISTORY_PAYLOADS"


async def _job(call: RequestContext, integration: Integration) -> Job:
    found = await call.services.ledger.jobs.get([call.named("job_id", "job")])
    if not found or found[0].integration_id != integration.id:
        raise not_found("job with this id, or it is no longer kept")
    return found[0]


def _key(call: RequestContext) -> str:
    key = call.request.headers.get(IDEMPOTENCY_KEY) or str(uuid4())
    # Bytes that are not UTF-8 arrive as surrogates, from which no id can be made.
    if len(key) > KEY_MAX_CHARS or any("\ud800" <= character <= "\udfff" for character in key):
        raise api_error(400, f"{IDEMPOTENCY_KEY}: expected at most {KEY_MAX_CHARS} characters, in UTF-8")
    return key


def _mark(integration: Integration, key: str) -> str:
    return str(uuid5(UUID(integration.id), key))


async def _attributes(call: RequestContext) -> Mapping[str, Any]:
    """Return the attributes of a redelivery, from the body and the query."""
    inner = await call.options("what to redeliver")
    strange = [name for name in inner if name not in (*_ATTRIBUTES, "type")]
    if strange:
        raise invalid([Refusal(name, f"is none of {', '.join(_ATTRIBUTES)}", (name,)) for name in strange])
    flags = {"true": True, "false": False}
    query = call.request.query
    for name in query:
        # If a misspelt `dry_run` were ignored, the dry run would become a real one.
        if name not in _ATTRIBUTES:
            raise bad_parameter(name, f"is none of {', '.join(_ATTRIBUTES)}")
    return {**inner, **{name: flags.get(value, value) for name, value in query.items()}}


def _selection(attributes: Mapping[str, Any], now: int) -> tuple[Selection, bool, Place | None]:
    problems: list[Refusal] = []
    since, till = _time(attributes, "from", 0, problems), _time(attributes, "to", now, problems)
    state = attributes.get("state", JobState.FAILED.value)
    if state not in STATES:
        problems.append(Refusal("state", f"expected one of {', '.join(STATES)}"))
    flags = [name for name in ("missing", "partial", "dry_run") if not isinstance(attributes.get(name, False), bool)]
    problems += [Refusal(name, "expected true or false") for name in flags]
    place = None
    if "cursor" in attributes:
        try:
            place = Place.read(str(attributes["cursor"]))
        except ValueError:
            problems.append(Refusal("cursor", "expected the cursor of an earlier answer"))
    if place is not None and place.phase in ("events", "missed") and attributes.get("missing") is not True:
        # Otherwise the events that are left would be skipped, and the redelivery reported as complete.
        problems.append(Refusal("missing", "expected true, as in the call that returned this cursor"))
    if since > till:
        problems.append(Refusal("from", "expected a time that is not after `to`"))
    if problems:
        raise invalid(problems)
    selection = Selection(since, till, frozenset({JobState(state)}), attributes.get("missing", False))
    return selection, attributes.get("dry_run", False), place


def _time(attributes: Mapping[str, Any], name: str, default: int, problems: list[Refusal]) -> int:
    if name not in attributes:
        return default
    try:
        return max(0, milliseconds(attributes[name]))
    except ValueError:
        expected = "expected a date and time with its offset (RFC 3339), such as 2026-11-24T07:00:00Z"
        problems.append(Refusal(name, expected))
        return default


def _document(tally: RedeliveryTally, key: str, *, dry_run: bool) -> RedeliveryDocument:
    return RedeliveryDocument(
        id=key,
        dry_run=dry_run,
        reopened=tally.reopened,
        due=tally.due,
        in_flight=tally.in_flight,
        opened=tally.opened,
        filtered=tally.filtered,
        gone=tally.gone,
        full=tally.full,
        complete=tally.next is None,
        cursor=UNSET if tally.next is None else str(tally.next),
    )


def _now() -> int:
    return round(clock() * 1000)
