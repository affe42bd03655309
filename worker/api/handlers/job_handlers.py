"""Jobs: what is owed to an integration, what became of it, and owing it anew."""

from collections.abc import Mapping
from time import time as clock
from typing import Any
from uuid import UUID, uuid4, uuid5

from msgspec import UNSET

from worker.api.api_errors import api_error, bad_parameter, invalid, not_found
from worker.api.filters import FILTER, Field, milliseconds, number, parse_filter, text, time, word
from worker.api.handlers.integration_handlers import PATH
from worker.api.handlers.log_handlers import filtered_page, kept
from worker.api.request_context import Reply, RequestContext
from worker.api.schemas import RedeliveredJob, RedeliveryDocument, RedeliveryMeta, Single
from worker.domain.event import Refusal, rfc3339
from worker.domain.integration import Integration
from worker.domain.job import Job, JobState
from worker.domain.resources import job_document
from worker.integrations.redelivery import Place, RedeliveryTally, Selection
from worker.ledger.pages import Page

IDEMPOTENCY_KEY = "Idempotency-Key"
#: Characters of an idempotency key.
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
    """A page of an integration's jobs, the newest first; one round trip to the store."""
    integration_id = call.named("integration_id", "integration")

    async def read(offset: int, limit: int) -> Page[Job]:
        page = await call.services.ledger.jobs.of_integration(integration_id, offset, limit)
        call.must_own(page.scope_key, "integration")
        return page

    given = call.request.query.get(FILTER)
    page, filtered = await filtered_page(call, read, parse_filter(given, FIELDS) if given else ())
    documents = [job_document(job) for job in page.items]
    path = f"{PATH}/{integration_id}/jobs"
    return Reply(call.paging.collection(documents, page.total, path, kept(call), filtered=filtered))


async def read(call: RequestContext) -> Reply:
    """One job, with its state, its attempts and when the next one is due."""
    return Reply(Single(job_document(await _job(call, await call.integration()))))


async def redeliver_one(call: RequestContext) -> Reply:
    """Reopens a job that has ended, or makes one that waits due now."""
    integration = await call.integration()
    job = await _job(call, integration)
    mark = _mark(integration, _key(call))
    (word_,) = await call.services.ledger.redelivery.redeliver([job.id], mark)
    if word_ == "gone":
        raise api_error(409, "retention has dropped the event of this job, so it cannot be delivered again")
    if word_ == "full":
        raise api_error(
            409,
            "as much waits for this integration as may (EDW_LANE_BACKLOG, EDW_LANE_BACKLOG_BYTES): to reopen this job, "
            "another would have to go; try again once some has been delivered",
        )
    call.services.wakeups.lanes([integration.id])
    return Reply(RedeliveredJob(job_document(await _job(call, integration)), RedeliveryMeta(word_)), 202)


async def redeliver_many(call: RequestContext) -> Reply:
    """Redelivers jobs of a time and a state; with `missing`, also events that the integration observes and missed."""
    integration = await call.integration()
    attributes = await _attributes(call)
    selection, dry_run, place = _selection(attributes, _now())
    horizon = _now() - call.services.ledger.policy.event_retention
    if "from" in attributes and selection.since < horizon and not attributes.get("partial", False):
        # A job goes some time after its end, and not after its opening: what is pending, or ended late, is kept.
        raise api_error(
            409,
            f"retention (EDW_EVENT_RETENTION) has dropped what was over before {rfc3339(horizon)}: begin there, or ask "
            'with "partial": true for what is kept of the whole time',
        )
    key = _key(call)
    tally = await call.services.redelivery_service.run(
        integration, selection, _mark(integration, key), dry_run=dry_run, place=place
    )
    if not dry_run:
        call.services.wakeups.lanes([integration.id])
    return Reply(Single(_document(tally, key, dry_run=dry_run)), 200 if dry_run else 202)


async def _job(call: RequestContext, integration: Integration) -> Job:
    found = await call.services.ledger.jobs.get([call.named("job_id", "job")])
    if not found or found[0].integration_id != integration.id:
        raise not_found("job with this id, or it is no longer kept")
    return found[0]


def _key(call: RequestContext) -> str:
    key = call.request.headers.get(IDEMPOTENCY_KEY) or str(uuid4())
    # What was no UTF-8 came through as surrogates, which no id can be made of.
    if len(key) > KEY_MAX_CHARS or any("\ud800" <= character <= "\udfff" for character in key):
        raise api_error(400, f"{IDEMPOTENCY_KEY}: expected at most {KEY_MAX_CHARS} characters, in UTF-8")
    return key


def _mark(integration: Integration, key: str) -> str:
    return str(uuid5(UUID(integration.id), key))


async def _attributes(call: RequestContext) -> Mapping[str, Any]:
    """What the body says, and what the query says beside it."""
    inner = await call.options("what to redeliver")
    strange = [name for name in inner if name not in (*_ATTRIBUTES, "type")]
    if strange:
        raise invalid([Refusal(name, f"is none of {', '.join(_ATTRIBUTES)}", (name,)) for name in strange])
    flags = {"true": True, "false": False}
    query = call.request.query
    for name in query:
        # To ignore a misspelt `dry_run` would do what was only asked about.
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
            problems.append(Refusal("cursor", "expected the cursor of an answer"))
    if place is not None and place.phase == "events" and attributes.get("missing") is not True:
        # All that is left would be passed over, and called complete.
        problems.append(Refusal("missing", "expected true, as in the call that this cursor is of"))
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
        gone=tally.gone,
        full=tally.full,
        complete=tally.next is None,
        cursor=UNSET if tally.next is None else str(tally.next),
    )


def _now() -> int:
    return round(clock() * 1000)
