"""The list of a store's integrations, and the page of one."""

import math
from collections.abc import Sequence
from contextlib import suppress
from time import time
from typing import Any

from deliverers.registry import UnknownIntegrationType
from worker.console.integration_directory import LISTED_MOST, candidates, matching_entries
from worker.console.pages.audit_pages import changes_of
from worker.console.pages.integration_days import days_of
from worker.console.pages.integration_rows import rows_of
from worker.console.visit import PAGE, Answer, Html, SeeOther, Visit
from worker.domain.integration import Integration
from worker.domain.signing_keys import signing

#: Integrations that an order by owed deliveries, age or success rate looks at: failing ones first, then those on
#: hold, then the newest.
SORTED_MOST = 1_000
#: The attempts and deliveries on the page of an integration.
SHOWN = 25
#: Days that a chart shows at most.
DAYS_MOST = 365

STATES = ("failing", "disabled", "paused", "healthy")


async def listing(visit: Visit) -> Answer:
    """Return a page of the integrations; filters and the order by name hold for all of the store."""
    if visit.chosen is None:
        return SeeOther(visit.link("/stores"))
    state, text = visit.query.get("state", ""), visit.query.get("q", "").strip()
    state, order = state if state in STATES else "", visit.query.get("sort", "")
    ids, total, sorted_of = await _found(visit, state, text, order)
    integrations = await visit.services.ledger.integrations.get(ids) if ids else []
    return Html(
        "integrations.html",
        {
            "rows": await rows_of(visit, integrations),
            "total": total,
            "sorted_of": sorted_of,
            "state": state,
            "text": text,
            "states": STATES,
            "sort": order,
            "shown_most": PAGE,
        },
    )


async def _found(visit: Visit, state: str, text: str, order: str) -> tuple[Sequence[str], int, int]:
    """Return the ids of a page, the number of all that match, and how many an order looked at (0: all of them)."""
    if not (state or text or order):
        page = await visit.services.ledger.integrations.page(visit.scope, visit.offset, PAGE)
        return [each.id for each in page.items], page.total, 0
    failing = await visit.services.ledger.failing.ids(visit.scope, LISTED_MOST)
    matching = matching_entries(await visit.directory.newest_first(visit.scope), state, text, frozenset(failing))
    found = [each.id for each in matching]
    total, sorted_of = len(found), 0
    if order == "name":
        found = [each.id for each in sorted(matching, key=lambda each: each.name)]
    elif order in ("owed", "oldest", "rate"):
        found = [each.id for each in candidates(matching, failing, SORTED_MOST)]
        sorted_of = len(found) if len(found) < total else 0
        found = await _sorted(visit, found, order)
    return found[visit.offset : visit.offset + PAGE], total, sorted_of


async def _sorted(visit: Visit, ids: Sequence[str], order: str) -> list[str]:
    """Return ids in an order that depends on their lanes: most owed, longest due, or lowest success rate first."""
    ledger, rank = visit.services.ledger, dict[str, float]()
    if order == "rate":
        rates = await ledger.activity.success_rates(ids)
        rank = {each: 2.0 if rates[each] is None else rates[each] or 0.0 for each in ids}
    else:
        for each, depth in zip(ids, await ledger.status.depths(ids), strict=True):
            rank[each] = -(depth.due + depth.leased) if order == "owed" else depth.oldest_due_at or math.inf
    return sorted(ids, key=rank.__getitem__)


def _signs(visit: Visit, integration: Integration) -> bool:
    with suppress(UnknownIntegrationType):
        return visit.services.types.signs(integration.integration_type)
    return False


async def show(visit: Visit) -> Answer:
    """Return the page of an integration: what happens next, its deliveries, its attempts, its settings."""
    integration = await visit.integration()
    (row,) = await rows_of(visit, [integration])
    tab = visit.query.get("tab", "deliveries")
    ledger = visit.services.ledger
    values: dict[str, Any] = {}
    if tab == "attempts":
        logs = await ledger.logs.until(visit.till).of_integration(integration.id, visit.offset, SHOWN)
        values |= {"logs": logs, "older": visit.older(logs, SHOWN, lambda log: log.created_at)}
    elif tab == "changes" and visit.is_admin:
        values["rows"], values["changes"] = await changes_of(visit, integration.scope, integration.id)
    elif tab == "days" and visit.services.settings.history_url is not None:
        days = min(DAYS_MOST, round(visit.services.settings.history_retention / 86_400))
        values |= days_of(await ledger.activity.by_day(integration.id, days))
    elif tab == "settings":
        values["shown"] = visit.services.integration_service.shown(integration)
        values["keys"] = signing(integration.keys, time() * 1000)
        values["expiring"] = visit.services.integration_service.expiring(integration)
        values["has_keys"] = _signs(visit, integration)
    else:
        tab = "deliveries"
        jobs = await ledger.jobs.until(visit.till).of_integration(integration.id, visit.offset, SHOWN)
        values |= {"jobs": jobs, "older": visit.older(jobs, SHOWN, lambda job: job.opened_at)}
    has_days = visit.services.settings.history_url is not None
    shown = {"row": row, "each": integration, "tab": tab, "shown_most": SHOWN, "has_days": has_days}
    return Html("integration.html", shown | values)
