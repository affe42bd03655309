"""Handlers of events: publishing over HTTP, as our own JSON or as CloudEvents, and the history of an event."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil

import msgspec
from msgspec import UNSET, UnsetType

from config.observable_events import STORE
from worker.api.api_errors import ApiError, ErrorBody, bad_parameter, error_body, invalid, not_found, problem_body
from worker.api.event_documents import PATH, explained_event, history_document, listed_event, path_of
from worker.api.filters import FILTER, Field, FilterCondition, parse_filter, text, time
from worker.api.handlers.log_handlers import filtered_page, kept, latest
from worker.api.request_context import JSON_TYPES, Reply, RequestContext, decoded
from worker.api.schemas import (
    EVENTS_MOST,
    EventHistoryDocument,
    PublishedBatch,
    PublishedEvent,
    Single,
)
from worker.domain.affected_resource import AffectedResource
from worker.domain.change import Change, ChangeAction
from worker.domain.cloudevents import (
    attributes_of_headers,
    event_of_binary,
    event_of_structured,
    is_cloudevent,
    is_json,
    split_batch,
)
from worker.domain.event import Event, ForeignEvent, Ingress, Refusal, event_ref
from worker.domain.event_parser import ID_MAX_CHARS, parse_event
from worker.domain.resources import Links
from worker.domain.trace_context import TraceContext
from worker.event_loop.pacing import breathe, paced
from worker.ledger import Acceptance
from worker.ledger.inspection.event_history import EventSummary
from worker.ledger.pages import Page
from worker.telemetry import metrics

CLOUDEVENT = "application/cloudevents+json"
CLOUDEVENTS = "application/cloudevents-batch+json"
TYPES = (*JSON_TYPES, CLOUDEVENT, CLOUDEVENTS)

_RESOURCE = ("resource_type", "resource_id")
FIELDS: Mapping[str, Field[EventSummary]] = {
    # The index of a resource answers these two.
    **dict.fromkeys(_RESOURCE, text(lambda _: None)),
    "id": text(lambda event: event.id),
    "type": text(lambda event: event.type),
    "created_at": time(lambda event: event.accepted_at),
}

_SPECVERSION = "ce-specversion"


class _Wrapped(msgspec.Struct):
    data: msgspec.Raw | UnsetType = UNSET
    type: msgspec.Raw | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class _Given:
    """The event or batch of a request; `under` is the JSON pointer to it in the body."""

    items: Sequence[bytes]
    is_batch: bool
    under: str
    #: Converts an item into the JSON of our own events.
    convert: Callable[[bytes], bytes | Refusal]

    def place(self, index: int) -> str:
        return f"{self.under}/{index}" if self.is_batch else self.under


async def publish(call: RequestContext) -> Reply:
    """Accept an event or a batch; reply once the ledger has the events.

    Valid events of a batch are accepted even if others are refused.
    """
    intake = call.services.intake
    await intake.check_pressure()
    given = await _given(call)
    parsed = [_parsed(call, each, given.convert) async for each in paced(given.items)]
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


async def _given(call: RequestContext) -> _Given:
    binary = _SPECVERSION in call.request.headers
    raw = await call.raw(TYPES, also=is_json if binary else lambda _: False)
    match call.request.content_type:
        case "application/cloudevents+json":
            return _Given([raw], is_batch=False, under="", convert=event_of_structured)
        case "application/cloudevents-batch+json":
            batch = split_batch(raw, EVENTS_MOST)
            if isinstance(batch, Refusal):
                raise invalid([batch], under="")
            await breathe()
            return _batch(batch, "", event_of_structured)
    if binary:
        return _Given([raw], is_batch=False, under="", convert=partial(_of_binary, call))
    return await _wrapped(raw)


def _of_binary(call: RequestContext, body: bytes) -> bytes | Refusal:
    attributes = attributes_of_headers(call.request.headers.items())
    return attributes if isinstance(attributes, Refusal) else event_of_binary(attributes, body)


async def _wrapped(raw: bytes) -> _Given:
    try:
        wrapped = decoded(raw, _Wrapped)
    except msgspec.ValidationError:
        raise invalid([Refusal("", 'expected an object: {"data": {…}} or {"data": [ … ]}')], under="") from None
    if isinstance(wrapped.data, UnsetType):
        hint = '; wrap the event: {"data": {"type": …, "payload": …}}' if b'"payload"' in raw else ""
        raise invalid([Refusal("data", f"is required: an event, or a list of events{hint}")], under="")
    data = bytes(wrapped.data)
    if not isinstance(wrapped.type, UnsetType):
        hint = 'wrap the event: {"data": {"type": …, "data": …}}'
        raise invalid([Refusal("type", f"is beside `data`, but belongs inside it: {hint}")], under="")
    if not data.startswith(b"["):
        return _Given([data], is_batch=False, under="/data", convert=_plain)
    # Let other tasks run between decoding the body and splitting its list.
    await breathe()
    batch = split_batch(data, EVENTS_MOST)
    if isinstance(batch, Refusal):
        raise invalid([batch])
    await breathe()
    return _batch(batch, "/data", _plain)


def _plain(raw: bytes) -> bytes | Refusal:
    return event_of_structured(raw) if is_cloudevent(raw) else raw


def _batch(items: Sequence[bytes], under: str, convert: Callable[[bytes], bytes | Refusal]) -> _Given:
    if not items:
        raise invalid([Refusal("", "expected at least one event")], under)
    return _Given(items, is_batch=True, under=under, convert=convert)


def _traced(event: Event, trace: TraceContext) -> Event:
    """Return an event with a trace: its own, else its request's."""
    return event if event.trace else replace(event, trace=trace)


def _parsed(call: RequestContext, given: bytes, convert: Callable[[bytes], bytes | Refusal]) -> Event | Refusal:
    rules = call.services.rules
    if len(given) > rules.envelope_max_bytes:
        return rules.too_large(given)
    raw = convert(given)
    if isinstance(raw, Refusal):
        return raw
    if not call.token.platform:
        return parse_event(raw, rules, scope=call.scope)
    event = parse_event(raw, rules)
    if isinstance(event, Event):
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


def _answer(results: Sequence[PublishedEvent], given: _Given, headers: Mapping[str, str]) -> Reply:
    errors = [error for result in results if not isinstance(result.errors, UnsetType) for error in result.errors]
    statuses = {result.status for result in results}
    if 202 not in statuses:
        # Nothing was accepted, so the whole request fails.
        raise ApiError(statuses.pop() if len(statuses) == 1 else 422, errors, headers)
    if not given.is_batch:
        return Reply(Single(results[0]), 202)
    return Reply(PublishedBatch(list(results), errors or UNSET), 207 if errors else 202, headers)
