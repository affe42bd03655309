"""The page that tries a filter with a sample or a stored event. Nothing is delivered."""

from typing import Any

import msgspec

from worker.console.visit import Answer, Html, Visit
from worker.domain.integration import Integration
from worker.integrations.filter_trial import FilterTrials


async def show(visit: Visit) -> Answer:
    """Return the page with the integration's own filter."""
    return _page(visit, await visit.integration(), None, ())


async def run(visit: Visit) -> Answer:
    """Try the filter that was entered, and show the answer."""
    integration = await visit.integration()
    event_id, data = visit.form.get("event_id", "").strip(), visit.form.get("data", "")
    given = {"filter": entered_json(visit.form.get("filter", ""))}
    given |= {"event_id": event_id} if event_id else {"data": entered_json(data)}
    tried = await FilterTrials(visit.services.ledger, visit.services.rules).run(integration, given)
    if isinstance(tried, list):
        return _page(visit, integration, None, [str(each) for each in tried])
    return _page(visit, integration, tried, ())


def filter_text(visit: Visit, integration: Integration) -> str:
    """Return the filter as the form shows it: what was entered, or else the integration's."""
    if "filter" in visit.form:
        return visit.form["filter"]
    return "" if integration.filter is None else msgspec.json.encode(integration.filter).decode()


def entered_json(text: str) -> Any:
    """Return the value of an entered text, None if it is empty, or the text itself, which validation then refuses."""
    try:
        return msgspec.json.decode(text) if text.strip() else None
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text


def _page(visit: Visit, integration: Integration, tried: Any, problems: Any) -> Html:
    values = {
        "each": integration,
        "tried": tried,
        "problems": problems,
        "filter_text": filter_text(visit, integration),
        "data": visit.form.get("data", ""),
        "event_id": visit.form.get("event_id", ""),
    }
    return Html("filter.html", values, 422 if problems else 200)
