"""One search for ids of integrations, deliveries, attempts and events, and for names and hosts of receivers."""

from urllib.parse import quote
from uuid import UUID

from worker.console.pages.integration_pages import LOOKED_AT
from worker.console.pages.integration_rows import place_of
from worker.console.visit import Answer, Html, SeeOther, Visit
from worker.domain.event import event_ref
from worker.domain.event_parser import ID_MAX_CHARS
from worker.domain.integration import Integration

#: The newest attempts whose ids are compared.
LOGS = 200


async def show(visit: Visit) -> Answer:
    """Open what the text names; otherwise list the integrations whose name or address has it."""
    text = visit.query.get("q", "").strip()
    found = await _by_id(visit, text) or await _event(visit, text)
    if found:
        return SeeOther(found)
    matching = await _by_place(visit, text) if text else []
    places = {each.id: place_of(each) for each in matching}
    return Html("search.html", {"text": text, "matching": matching, "places": places, "looked_at": LOOKED_AT})


async def _by_id(visit: Visit, text: str) -> str | None:
    try:
        wanted = str(UUID(text))
    except ValueError:
        return None
    ledger = visit.services.ledger
    integrations = await ledger.integrations.get([wanted])
    if integrations and visit.may_see(integrations[0].scope):
        return visit.link(f"/integrations/{wanted}", integrations[0].scope)
    for job in await ledger.jobs.get([wanted]):
        owner = await ledger.integrations.get([job.integration_id])
        if owner and visit.may_see(owner[0].scope):
            return visit.link(f"/events/{quote(job.event_id, safe='')}", owner[0].scope)
    if visit.chosen is None:
        return None
    for log in (await ledger.logs.of_scope(visit.scope, 0, LOGS)).items:
        if log.id == wanted:
            return visit.link(
                f"/integrations/{log.integration_id}/jobs/{log.job_id}/attempts/{log.attempt}", visit.scope
            )
    return None


async def _event(visit: Visit, text: str) -> str | None:
    if visit.chosen is None or not 0 < len(text) <= ID_MAX_CHARS:
        return None
    found = await visit.services.ledger.events.show(event_ref(visit.scope, text), 0, 1)
    return visit.link(f"/events/{quote(text, safe='')}") if found else None


async def _by_place(visit: Visit, text: str) -> list[Integration]:
    if visit.chosen is None:
        return []
    page = await visit.services.ledger.integrations.page(visit.scope, 0, LOOKED_AT)
    sought = text.casefold()
    return [each for each in page.items if sought in f"{each.name}\n{place_of(each)}".casefold()]
