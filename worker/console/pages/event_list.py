"""A list of the events of a store, the newest first; of a resource, also who got each event, and why others did not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.console.pages.event_rows import SHOWN, NotSent, integrations_of, known_of, not_sent
from worker.console.visit import PAGE, Answer, Html, SeeOther, Visit
from worker.domain.affected_resource import AffectedResource
from worker.domain.integration import Integration
from worker.ledger.inspection.event_history import EventHistory

#: Events of a resource on a page, each with all its deliveries.
EXPLAINED = 5


@dataclass(frozen=True, slots=True)
class ExplainedRow:
    """An event of a resource, the integrations of its jobs by id, and those that it was not sent to."""

    history: EventHistory
    known: Mapping[str, Integration]
    #: Of the newest integrations; `more` says that there are others.
    not_sent: Sequence[NotSent]
    more: bool


async def show(visit: Visit) -> Answer:
    """Return a page of the events of a store, or of one resource."""
    if visit.chosen is None:
        return SeeOther(visit.link("/stores"))
    reader = visit.services.ledger.events.until(visit.till)
    kind, identity = (visit.query.get(name, "").strip() for name in ("type", "id"))
    if not (kind and identity):
        events = await reader.page(visit.scope, visit.offset, PAGE)
        older = visit.older(events, PAGE, lambda event: event.accepted_at)
        values = {"events": events, "shown_most": PAGE, "kind": kind, "identity": identity, "older": older}
        return Html("events.html", values)
    resource = AffectedResource(kind, identity)
    page = await reader.page(visit.scope, visit.offset, EXPLAINED, resource)
    rows = await _explained(visit, [each.ref for each in page.items])
    older = visit.older(page, EXPLAINED, lambda event: event.accepted_at)
    values = {"events": page, "rows": rows, "shown_most": EXPLAINED, "kind": kind, "identity": identity}
    return Html("resource_events.html", {**values, "older": older})


async def _explained(visit: Visit, refs: Sequence[str]) -> list[ExplainedRow]:
    others = await integrations_of(visit, visit.scope)
    rows = []
    for ref in refs:
        # Retention may have dropped the event since the list was read.
        if history := await visit.services.ledger.events.show(ref, 0, SHOWN):
            known = await known_of(visit, history, others)
            missing = await not_sent(visit, history, others)
            rows.append(ExplainedRow(history, known, missing, others.total > len(others.items)))
    return rows
