"""Handlers of IntegrationLogs of a store, an integration or a job, the newest first."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from worker.api.api_errors import bad_parameter, not_found
from worker.api.filters import FILTER, Field, FilterCondition, flag, number, parse_filter, text, time
from worker.api.handlers.integration_handlers import PATH
from worker.api.paging import OFFSET, Filtered
from worker.api.request_context import Reply, RequestContext
from worker.api.sorting import SORT
from worker.domain.integration_log import IntegrationLog
from worker.domain.resources import log_document
from worker.ledger.pages import Page

#: The newest records that a filter without an index examines.
WINDOW = 10_000
#: Records that it reads at a time.
CHUNK = 200
#: The same across ledger and history, where each read begins at the newest.
HISTORY_CHUNK = 2_500

FIELDS: Mapping[str, Field[IntegrationLog]] = {
    "succeeded": flag(lambda log: log.succeeded),
    "attempt": number(lambda log: log.attempt),
    "status_code": number(lambda log: log.status_code),
    "processing_time": number(lambda log: log.processing_time),
    "created_at": time(lambda log: log.created_at),
    "triggered_by": text(lambda log: log.event_type),
    "event_id": text(lambda log: log.event_id),
    "integration_id": text(lambda log: log.integration_id),
    "job_id": text(lambda log: log.job_id),
}


class Identified(Protocol):
    """A record with an id."""

    @property
    def id(self) -> str: ...


Record = TypeVar("Record", bound=Identified)
Read = Callable[[int, int], Awaitable[Page[Record]]]


async def of_store(call: RequestContext) -> Reply:
    """Return a page of a store's logs. Failures have an index of their own."""
    conditions = _conditions(call)
    logs = call.services.ledger.logs.until(latest(conditions))
    failures = [each for each in conditions if each.name == "succeeded" and each.value is False]
    read = partial(logs.failures if failures else logs.of_scope, call.scope)
    rest = [each for each in conditions if each not in failures]
    return await _listing(call, read, rest, f"{PATH}/logs")


async def of_integration(call: RequestContext) -> Reply:
    """Return a page of an integration's logs."""
    integration_id = call.named("integration_id", "integration")
    conditions = _conditions(call)
    logs = call.services.ledger.logs.until(latest(conditions))

    async def read(offset: int, limit: int) -> Page[IntegrationLog]:
        page = await logs.of_integration(integration_id, offset, limit)
        call.must_own(page.scope_key, "integration")
        return page

    return await _listing(call, read, conditions, f"{PATH}/{integration_id}/logs")


async def of_job(call: RequestContext) -> Reply:
    """Return a page of a job's logs."""
    integration_id, job_id = call.named("integration_id", "integration"), call.named("job_id", "job")
    logs = call.services.ledger.logs

    async def read(offset: int, limit: int) -> Page[IntegrationLog]:
        page = await logs.of_job(job_id, offset, limit, integration_id)
        call.must_own(page.scope_key, "job")
        if page.integration_id != integration_id:
            raise not_found("job with this id")
        return page

    return await _listing(call, read, _conditions(call), f"{PATH}/{integration_id}/jobs/{job_id}/logs")


def _conditions(call: RequestContext) -> Sequence[FilterCondition[IntegrationLog]]:
    given = call.request.query.get(FILTER)
    return parse_filter(given, FIELDS) if given else ()


async def _listing(
    call: RequestContext, read: Read[IntegrationLog], conditions: Sequence[FilterCondition[IntegrationLog]], path: str
) -> Reply:
    page, filtered = await filtered_page(call, read, conditions)
    documents = [log_document(log) for log in await call.services.ledger.logs.with_exchanges(page.items)]
    # In the specification, pages of logs have no `last`.
    return Reply(
        call.paging.collection(
            *(documents, page.total, path, kept(call)),
            last=False,
            filtered=filtered,
            at_least=page.at_least,
            history_away=page.history_away,
        )
    )


def latest(conditions: Sequence[FilterCondition[Any]]) -> int | None:
    """Return the time (ms) up to which records can fulfil the conditions; None if there is no such limit."""
    limits = [each.value for each in conditions if each.name == "created_at" and each.operator in ("lt", "le", "eq")]
    return min(limits, default=None)


def kept(call: RequestContext) -> Mapping[str, str]:
    """Return the parameters of the query that the links between pages keep."""
    query = call.request.query
    return {name: query[name] for name in (FILTER, SORT) if query.get(name)}


async def filtered_page(
    call: RequestContext, read: Read[Record], conditions: Sequence[FilterCondition[Record]]
) -> tuple[Page[Record], Filtered | None]:
    """Return the requested page. With conditions, it lists matches among the newest WINDOW records."""
    paging = call.paging
    has_history = call.services.settings.history_url is not None
    if has_history and paging.offset >= WINDOW:
        expected = f"expected at most {WINDOW - 1:,}; a filter by created_at reaches what is older"
        raise bad_parameter(OFFSET, expected)
    if not conditions:
        return await read(paging.offset, paging.limit), None
    away = False

    async def noting(offset: int, limit: int) -> Page[Record]:
        nonlocal away
        page = await read(offset, limit)
        away = away or page.history_away
        return page

    found, filtered = await matching(noting, conditions, HISTORY_CHUNK if has_history else CHUNK)
    items = found[paging.offset : paging.offset + paging.limit]
    return Page(items, len(found), history_away=away), filtered


async def matching(
    read: Read[Record], conditions: Sequence[FilterCondition[Record]], chunk: int = CHUNK
) -> tuple[list[Record], Filtered]:
    """Return the matches among the newest WINDOW records, in the order in which `read` returns them."""
    # By id: records that are added meanwhile shift the rest, so the last record of a chunk may come again.
    found: dict[str, Record] = {}
    looked_at, total = 0, 0
    while looked_at < WINDOW:
        page = await read(looked_at, chunk)
        looked_at, total = looked_at + len(page.items), page.total
        found |= {each.id: each for each in page.items if all(condition.holds(each) for condition in conditions)}
        if len(page.items) < chunk:
            break
    return list(found.values()), Filtered(looked_at, looked_at < total)
