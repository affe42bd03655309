"""Failing receivers: those that fail for one reason, or all of them; an operator sees those of all stores."""

from worker.console.failure_groups import common_reason
from worker.console.places import place_of
from worker.console.visit import PAGE, Answer, Html, Visit
from worker.ledger.inspection.failing_lanes import FAILING_MOST


async def show(visit: Visit) -> Answer:
    """Return a page of failing receivers, those that began to fail last first.

    The query names the reason (`reason`) and the part of the index that is looked at (`from`): FAILING_MOST at a time.
    """
    reason, start = visit.query.get("reason", ""), visit.number("from")
    failing = await visit.services.ledger.failing.read(visit.chosen, FAILING_MOST, start)
    lanes = [each for each in failing.lanes if not reason or common_reason(each.why) == reason]
    shown = lanes[visit.offset : visit.offset + PAGE]
    ids = [each.id for each in shown]
    known = {each.id: each for each in await visit.services.ledger.integrations.get(ids)} if ids else {}
    return Html(
        "failing.html",
        {
            "reason": reason,
            "lanes": shown,
            "found": len(lanes),
            "stores": len({each.scope for each in lanes}),
            "known": known,
            "places": {each.id: place_of(each) for each in known.values()},
            "total": failing.total,
            "start": start,
            "looked_at": len(failing.lanes),
            "most": FAILING_MOST,
            "shown_most": PAGE,
        },
    )
