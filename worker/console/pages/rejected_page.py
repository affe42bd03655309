"""Messages that were rejected while no producer waited for an answer; mended, they can be published anew."""

from worker.console.visit import Answer, Html, Visit
from worker.domain.event import Refusal
from worker.domain.event_parser import parse_event

#: Messages of the page.
SHOWN = 50


async def show(visit: Visit) -> Answer:
    """Return the newest rejected messages."""
    return await _page(visit)


async def publish(visit: Visit) -> Answer:
    """Publish a mended message as an event."""
    text = visit.form.get("message", "")
    event = parse_event(text.encode(errors="replace"), visit.services.rules)
    if isinstance(event, Refusal):
        return await _page(visit, 422, problem=str(event), text=text)
    (answer,) = await visit.services.intake.accept([event])
    return await _page(visit, published=event.id, published_in=event.scope, answer=answer.value)


async def _page(visit: Visit, status: int = 200, **more: object) -> Html:
    values = {"problem": "", "text": "", "published": "", "published_in": None, "answer": ""} | more
    found = await visit.services.ledger.inbox.rejected(SHOWN)
    return Html("rejected.html", {"messages": found, "shown_most": SHOWN, **values}, status)
