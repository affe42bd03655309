"""Handlers of events: publishing over HTTP, as our own JSON or as CloudEvents, and the history of an event."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil

from msgspec import UNSET, UnsetType

from config.observable_events import STORE
from worker.api.api_errors import ApiError, ErrorBody, bad_parameter, error_body, not_found, problem_body
from worker.api.event_documents import PATH, explained_event, history_document, listed_event, path_of
from worker.api.filters import FILTER, Field, FilterCondition, parse_filter, text, time
from worker.api.given_events import GivenEvents, given_events
from worker.api.handlers.log_handlers import filtered_page, kept, latest
from worker.api.request_context import Reply, RequestContext
from worker.api.schemas import EventHistoryDocument, PublishedBatch, PublishedEvent, Single
from worker.domain.affected_resource import AffectedResource
from worker.domain.change import Change, ChangeAction
from worker.domain.event import Event, ForeignEvent, Ingress, Refusal, event_ref
from worker.domain.event_parser import ID_MAX_CHARS, EventRules, parse_event
from worker.domain.resources import Links
from worker.domain.trace_context import TraceContext
from worker.event_loop.pacing import breathe, steps
from worker.ledger import Acceptance
from worker.ledger.inspection.event_history import EventSummary
from worker.ledger.pages import Page
from worker.telemetry import metrics

_RESOURCE = ("resource_type", "resource_id")
FIELDS: Mapping[str, Field[EventSummary]] = {
    # The index of a resource answers these two.
    **dict.fromkeys(_RESOURCE, text(lambda _: None)),
    "id": text(lambda event: event.id),
    "type": text(lambda event: event.type),
    "created_at": time(lambda event: event.accepted_at),
}


async def publish(call: RequestContext) -> Reply:
    """Accept an event or a batch; reply once the ledger has the events.

    Valid events of a batch are accepted even if others are refused.
    """
    intake = call.services.intake
    await intake.check_pressure()
    given = await given_events(call)
    parse = _parser(call, given)
    parsed: list[Event | Refusal] = []
    for step in steps(given.items):
        if parsed:
            await breathe()
        parsed += map(parse, step)
    events = [each for each in parsed if isinstance(each, Event)]
    held_back = await intake.held_back(events)
    good = [each for each in events if each.scope not in held_back] if held_back else events
    if call.trace:
        good = [_traced(each, call.trace) for each in good]
    metrics.observe_refused(Ingress.HTTP, metrics.RefusalReason.INVALID, len(parsed) - len(events))
    metrics.observe_refused(Ingress.HTTP, metrics.RefusalReason.ALLOWANCE, len(events) - len(good))
    accepted = iter(await intake.accept(good))
    base = call.base
    results: list[PublishedEvent] = []
    for number, each in enumerate(parsed):
        index = number if given.is_batch else UNSET
        if isinstance(each, Refusal):
            status = 403 if isinstance(each, ForeignEvent) else 422
            results.append(_refused(problem_body(each, given.place(number), status), index))
        elif held_back and each.scope in held_back:
            place = given.place(number)
            results.append(_refused(error_body(429, f"{place}: {_TOO_MANY}", pointer=place), index))
        else:
            results.append(_accepted(base, each, next(accepted), index))
    headers = {"Retry-After": str(max(1, ceil(max(held_back.values()))))} if held_back else {}
    return _answer(results, given, headers)


async def listing(call: RequestContext) -> Reply:
    """Return a page of the events of a store, or of one resource, the newest first.

    Of a resource, each event has what became of it for every integration. It answers "did the ERP get order 123?".
    """
    given = call.request.query.get(FILTER)
    conditions = parse_filter(given, FIELDS) if given else ()
    resource, rest = _resource_of(conditions)
    events = call.services.ledger.events.until(latest(conditions))

    async def read(offset: int, limit: int) -> Page[EventSummary]:
        return await events.page(call.scope, offset, limit, resource)

    page, filtered = await filtered_page(call, read, rest)
    documents = [listed_event(each, call.base) for each in page.items]
    if resource is not None:
        found, names = await call.services.event_search.explained(call.scope, page.items)
        documents = [explained_event(each, names, call.base) for each in found]
    return Reply(
        call.paging.collection(
            *(documents, page.total, PATH, kept(call)),
            filtered=filtered,
            at_least=page.at_least,
            history_away=page.history_away,
        )
    )


def _resource_of(
    conditions: Sequence[FilterCondition[EventSummary]],
) -> tuple[AffectedResource | None, Sequence[FilterCondition[EventSummary]]]:
    """Return the resource that conditions name, and the other conditions. Raises ApiError (400) for half a resource."""
    named = {each.name: each.value for each in conditions if each.name in _RESOURCE}
    rest = [each for each in conditions if each.name not in _RESOURCE]
    if not named:
        return None, rest
    if len(named) + len(rest) != len(conditions) or set(named) != set(_RESOURCE):
        raise bad_parameter(FILTER, "expected one resource, such as eq(resource_type,order):eq(resource_id,123)")
    return AffectedResource(named["resource_type"], named["resource_id"]), rest


async def history(call: RequestContext) -> Reply:
    """Return the history of an event: its jobs and their last attempts. It answers "did the ERP get it?"."""
    event_id, paging = call.request.match_info["event_id"], call.paging
    found = None
    if 0 < len(event_id) <= ID_MAX_CHARS:
        found = await call.services.ledger.events.show(event_ref(call.scope, event_id), paging.offset, paging.limit)
    if found is None:
        raise not_found("event with this id, or it is no longer kept")
    ids = list(dict.fromkeys(each.job.integration_id for each in found.jobs))
    names = {each.id: each.name for each in await call.services.ledger.integrations.get(ids)} if ids else {}
    page = paging.collection(list(found.jobs), found.total, path_of(event_id), history_away=found.history_away)
    return Reply(EventHistoryDocument(history_document(found, names), page.meta, page.results, page.links))


async def erase(call: RequestContext) -> Reply:
    """Erase an event's data and the answers to it, and cancel what is pending of it."""
    event_id = call.request.match_info["event_id"]
    change = Change(call.actor, ChangeAction.EVENT_ERASED, call.scope.key, "event", event_id)
    is_id = 0 < len(event_id) <= ID_MAX_CHARS
    if not is_id or not await call.services.ledger.erasure.erase(event_ref(call.scope, event_id), change):
        raise not_found("event with this id, or it is no longer kept")
    return Reply(status=204)


_TOO_MANY = "this store has used up its allowance of events per second"


def _traced(event: Event, trace: TraceContext) -> Event:
    """Return an event with a trace: its own, else its request's."""
    return event if event.trace else replace(event, trace=trace)


def _parser(call: RequestContext, given: GivenEvents) -> Callable[[bytes], Event | Refusal]:
    """Return what parses an item of a request, and checks that its sender may publish it."""
    rules, convert = call.services.rules, given.convert
    scope = None if call.token.platform else call.scope

    def parse(item: bytes) -> Event | Refusal:
        if len(item) > rules.envelope_max_bytes:
            return rules.too_large(item)
        raw = item if convert is None else convert(item)
        if isinstance(raw, Refusal):
            return raw
        found = parse_event(raw, rules, scope=scope, cloudevents=convert is None)
        return found if scope or isinstance(found, Refusal) else _of_platform(found, rules)

    return parse


def _of_platform(event: Event, rules: EventRules) -> Event | Refusal:
    """Return an event of the platform, or why not: it names what it belongs to."""
    # A type that exists only at organisation level has no store.
    needed = ("org_id", "store_id") if STORE in rules.catalogue.levels(event.type) else ("org_id",)
    for field in needed:
        if getattr(event.scope, field) is None:
            return Refusal(field, "is required in events that the platform publishes")
    return event


def _accepted(base: str, event: Event, answer: Acceptance, index: int | UnsetType) -> PublishedEvent:
    return PublishedEvent(
        202,
        index=index,
        id=event.id,
        duplicate=not answer.is_new,
        differs=answer is Acceptance.DIFFERS,
        links=Links(base + path_of(event.id)),
    )


def _refused(error: ErrorBody, index: int | UnsetType) -> PublishedEvent:
    return PublishedEvent(error.status, index=index, errors=[error])


def _answer(results: Sequence[PublishedEvent], given: GivenEvents, headers: Mapping[str, str]) -> Reply:
    errors = [error for result in results if not isinstance(result.errors, UnsetType) for error in result.errors]
    statuses = {result.status for result in results}
    if 202 not in statuses:
        # Nothing was accepted, so the whole request fails.
        raise ApiError(statuses.pop() if len(statuses) == 1 else 422, errors, headers)
    if not given.is_batch:
        return Reply(Single(results[0]), 202)
    return Reply(PublishedBatch(list(results), errors or UNSET), 207 if errors else 202, headers)
