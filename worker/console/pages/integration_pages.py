"""The list of a store's integrations, and the page of one."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import time
from types import MappingProxyType
from typing import Any

from deliverers.registry import UnknownIntegrationType
from worker.console.pages.integration_rows import IntegrationRow, place_of, rows_of
from worker.console.visit import PAGE, Answer, Html, SeeOther, Visit
from worker.domain.integration import Integration
from worker.domain.signing_keys import signing
from worker.ledger.inspection.failing_lanes import FAILING_MOST

#: The newest integrations that a filter looks at.
LOOKED_AT = 500
#: The attempts and deliveries on the page of an integration.
SHOWN = 25

_STATES: Mapping[str, Callable[[Integration], bool]] = MappingProxyType(
    {
        "failing": lambda each: each.enabled and bool(each.failing_since),
        "disabled": lambda each: not each.enabled,
        "paused": lambda each: each.enabled and each.paused,
        "healthy": lambda each: each.enabled and not each.paused and not each.failing_since,
    }
)
_ORDERS: Mapping[str, Callable[[IntegrationRow], Any]] = MappingProxyType(
    {
        "name": lambda row: row.integration.name.casefold(),
        "owed": lambda row: -row.owed,
        "rate": lambda row: 2.0 if row.activity.success_rate is None else row.activity.success_rate,
        "oldest": lambda row: -row.lane.oldest_due_age if row.lane.due else 1,
    }
)


async def listing(visit: Visit) -> Answer:
    """Return a page of the integrations, the newest first; with a filter, those among the newest LOOKED_AT."""
    if visit.chosen is None:
        return SeeOther(visit.link("/stores"))
    state, text = visit.query.get("state", ""), visit.query.get("q", "").strip()
    found, total, looked_at = await _found(visit, state, text)
    rows = await rows_of(visit, found[:PAGE])
    if order := _ORDERS.get(visit.query.get("sort", "")):
        rows.sort(key=order)
    return Html(
        "integrations.html",
        {
            "rows": rows,
            "total": total,
            "looked_at": looked_at,
            "state": state,
            "text": text,
            "states": list(_STATES),
            "sort": visit.query.get("sort", ""),
            "more": len(found) > PAGE,
        },
    )


async def _found(visit: Visit, state: str, text: str) -> tuple[Sequence[Integration], int, int]:
    """Return the integrations from the offset on, the number of all, and how many a filter looked at (0: no filter)."""
    integrations, scope, offset = visit.services.ledger.integrations, visit.scope, visit.offset
    if state == "failing" and not text:
        failing = await visit.services.ledger.failing.read(scope, FAILING_MOST)
        ids = [each.id for each in failing.lanes][offset : offset + PAGE + 1]
        return [each for each in await integrations.get(ids) if _STATES[state](each)], failing.total, 0
    if state not in _STATES and not text:
        page = await integrations.page(scope, offset, PAGE + 1)
        return page.items, page.total, 0
    page = await integrations.page(scope, 0, LOOKED_AT)
    holds = _STATES.get(state)
    matching = [each for each in page.items if (holds is None or holds(each)) and _has(each, text)]
    return matching[offset:], page.total, len(page.items)


def _signs(visit: Visit, integration: Integration) -> bool:
    with suppress(UnknownIntegrationType):
        return visit.services.types.signs(integration.integration_type)
    return False


def _has(integration: Integration, text: str) -> bool:
    return text.casefold() in f"{integration.name}\n{integration.id}\n{place_of(integration)}".casefold()


async def show(visit: Visit) -> Answer:
    """Return the page of an integration: what happens next, its deliveries, its attempts, its settings."""
    integration = await visit.integration()
    (row,) = await rows_of(visit, [integration])
    tab = visit.query.get("tab", "deliveries")
    ledger = visit.services.ledger
    values: dict[str, Any] = {}
    if tab == "attempts":
        values["logs"] = await ledger.logs.of_integration(integration.id, visit.offset, SHOWN)
    elif tab == "settings":
        values["shown"] = visit.services.integration_service.shown(integration)
        values["keys"] = signing(integration.keys, time() * 1000)
        values["expiring"] = visit.services.integration_service.expiring(integration)
        values["has_keys"] = _signs(visit, integration)
    else:
        tab = "deliveries"
        values["jobs"] = await ledger.jobs.of_integration(integration.id, visit.offset, SHOWN)
    return Html("integration.html", {"row": row, "each": integration, "tab": tab, "shown_most": SHOWN, **values})
