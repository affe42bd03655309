"""One search for ids of integrations, deliveries, attempts and events, for resources, and for names and hosts."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from urllib.parse import quote, urlsplit
from uuid import UUID

from worker.console.integration_directory import DirectoryEntry, entry_of, matching_entries
from worker.console.places import place_of
from worker.console.visit import Answer, Html, SeeOther, Visit
from worker.domain.affected_resource import AffectedResource
from worker.domain.event import event_ref
from worker.domain.event_parser import ID_MAX_CHARS
from worker.domain.integration import Integration
from worker.domain.integration_log import log_id

#: The newest attempts of the ledger whose ids are compared, and those of one read.
LOGS, LOGS_PER_READ = 20_000, 1_000
#: Integrations that the page lists.
LISTED = 50
#: What may stand between the type and the id of a resource, beside a blank.
_BETWEEN = "/:#="


async def show(visit: Visit) -> Answer:
    """Open what the text names; otherwise list the integrations whose name or address has it."""
    text = visit.query.get("q", "").strip()
    wanted = _uuid(text)
    found = await _by_id(visit, wanted) or await _event(visit, text) or await _resource(visit, text)
    # This one reads most.
    found = found or await _attempt(visit, wanted)
    if found:
        return SeeOther(found)
    matching = await _by_place(visit, text) if text else []
    places = {each.id: place_of(each) for each in matching}
    return Html("search.html", {"text": text, "matching": matching, "places": places, "most": LISTED})


def _uuid(text: str) -> str:
    """Return a UUID as it is written; empty if the text is none."""
    try:
        return str(UUID(text))
    except ValueError:
        return ""


async def _by_id(visit: Visit, wanted: str) -> str | None:
    if not wanted:
        return None
    ledger = visit.services.ledger
    integrations = await ledger.integrations.get([wanted])
    if integrations and visit.may_see(integrations[0].scope):
        return visit.link(f"/integrations/{wanted}", integrations[0].scope)
    for job in await ledger.jobs.get([wanted]):
        owner = await ledger.integrations.get([job.integration_id])
        if owner and visit.may_see(owner[0].scope):
            return visit.link(f"/events/{quote(job.event_id, safe='')}", owner[0].scope)
    return None


async def _attempt(visit: Visit, wanted: str) -> str | None:
    if not wanted or visit.chosen is None:
        return None
    ledger = visit.services.ledger
    for offset in range(0, LOGS, LOGS_PER_READ):
        members = await ledger.logs.members(f"store:{visit.scope.key}", LOGS_PER_READ, offset)
        for job_id, attempt in members:
            if log_id(job_id, attempt) == wanted:
                for job in await ledger.jobs.get([job_id]):
                    return visit.link(f"/integrations/{job.integration_id}/jobs/{job_id}/attempts/{attempt}")
        if len(members) < LOGS_PER_READ:
            break
    return None


async def _event(visit: Visit, text: str) -> str | None:
    if visit.chosen is None or not 0 < len(text) <= ID_MAX_CHARS:
        return None
    found = await visit.services.ledger.events.show(event_ref(visit.scope, text), 0, 1)
    return visit.link(f"/events/{quote(text, safe='')}") if found else None


async def _resource(visit: Visit, text: str) -> str | None:
    if visit.chosen is None:
        return None
    for each in resources_in(text):
        if (await visit.services.ledger.events.page(visit.scope, 0, 1, each)).total:
            return visit.link("/events", type=each.type, id=each.id)
    return None


def resources_in(text: str) -> Iterator[AffectedResource]:
    """Yield the resources that a text may name: `order 123`, `order/123`, `order:123`, `order #123`."""
    words = text.split(None, 1)
    if len(words) == 2:
        yield AffectedResource(words[0], words[1])
        if words[1].startswith("#"):
            yield AffectedResource(words[0], words[1][1:].strip())
        return
    for mark in _BETWEEN:
        kind, found, identity = text.partition(mark)
        if found and kind and identity:
            yield AffectedResource(kind, identity)


async def _by_place(visit: Visit, text: str) -> Sequence[Integration]:
    """Return integrations whose name or address has the text, or the host of the text if it is a URL."""
    get = visit.services.ledger.integrations.get
    for sought in (text, _host_of(text)):
        found = [each.id for each in matching_entries(await _entries(visit), "", sought, ())] if sought else []
        if found:
            return await get(found[:LISTED])
    return []


async def _entries(visit: Visit) -> Sequence[DirectoryEntry]:
    """Return a store's integrations; for an operator who has not chosen a store, the failing ones of all stores."""
    ledger = visit.services.ledger
    if visit.chosen is not None:
        return await visit.directory.newest_first(visit.chosen)
    failing = await ledger.failing.read()
    return [entry_of(each) for each in await ledger.integrations.get([each.id for each in failing.lanes])]


def _host_of(text: str) -> str:
    with suppress(ValueError):
        return (urlsplit(text).hostname or "") if "://" in text else ""
    return ""
