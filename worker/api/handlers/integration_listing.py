"""Handlers of the list of integrations, and of the list of their attributes."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from worker.api.filters import FILTER, Field, flag, parse_filter, text, word
from worker.api.handlers.integration_handlers import PATH, document_of
from worker.api.handlers.log_handlers import kept, matching
from worker.api.request_context import Reply, RequestContext
from worker.api.schemas import AttributeList, AttributeMeta, IntegrationAttribute
from worker.api.sorting import SORT, ordered, parse_sort
from worker.domain.integration import Integration

#: The attributes by which the list can be sorted.
SORTS: Mapping[str, Callable[[Integration], Any]] = {
    "name": lambda each: (each.name.casefold(), each.name),
    "created_at": lambda each: each.created_at,
    "updated_at": lambda each: each.updated_at,
}


def fields_of(types: tuple[str, ...]) -> Mapping[str, Field[Integration]]:
    """Return the attributes by which the list can be filtered, given the known integration types."""
    return {
        "enabled": flag(lambda each: each.enabled),
        "integration_type": word(lambda each: each.integration_type, types),
        "name": text(lambda each: each.name),
    }


async def listing(call: RequestContext) -> Reply:
    """Return a page of the caller's integrations, the newest first; one round trip to Redis without filter and sort."""
    paging, query = call.paging, call.request.query
    conditions = parse_filter(query[FILTER], fields_of(call.services.types.types)) if query.get(FILTER) else ()
    keys = parse_sort(query[SORT], SORTS) if query.get(SORT) else ()
    read = partial(call.services.ledger.integrations.page, call.scope)
    filtered = None
    if conditions or keys:
        found, filtered = await matching(read, conditions)
        items, total = ordered(found, keys)[paging.offset : paging.offset + paging.limit], len(found)
    else:
        page = await read(paging.offset, paging.limit)
        items, total = list(page.items), page.total
    documents = [document_of(call, each) for each in items]
    return Reply(paging.collection(documents, total, PATH, kept(call), filtered=filtered if conditions else None))


async def attributes(call: RequestContext) -> Reply:
    """Return the attributes of an integration, for clients that build a form."""
    types = list(call.services.types.types)
    keys = list(call.services.rules.catalogue.keys)
    return Reply(
        AttributeList(
            [
                _attribute("type", "string", 'Always "integration".', options=["integration"]),
                _attribute("id", "string", "The integration's id, which the API assigns."),
                _attribute("name", "string", "The name, for people.", required=True),
                _attribute("description", "string", "What the integration is for."),
                _attribute("enabled", "boolean", "Whether events are delivered; true by default."),
                _attribute("paused", "boolean", "While true, jobs are opened but not attempted."),
                _attribute("rate_limit", "number", "Deliveries per second; without it there is no limit."),
                _attribute("timeout", "number", "Seconds that an attempt may take; without it, the deployment's."),
                _attribute("retry_schedule", "array", "Pauses after failed attempts, in seconds."),
                _attribute("filter", "object", "The pattern that its events must match; without it, it gets them all."),
                _attribute("integration_type", "string", "How events leave; webhook by default.", options=types),
                _attribute("observes", "array", "Observable keys.", required=True, options=keys),
                _attribute("configuration", "object", "Where events are delivered.", required=True),
            ],
            AttributeMeta(),
        )
    )


def _attribute(
    name: str, kind: str, description: str, *, required: bool = False, options: list[str] | None = None
) -> IntegrationAttribute:
    return IntegrationAttribute(name, name, kind, required, description, options or [])
