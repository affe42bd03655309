"""What is wrong now, and why: the first page; and the choice of a store."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from worker.console.failure_groups import groups_of
from worker.console.places import place_of
from worker.console.sparkline import line
from worker.console.visit import Answer, Html, Visit
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.ledger.inspection.failing_lanes import FailingReceivers
from worker.ledger.inspection.pulse import rates

#: Receivers that a group names before it says how many more there are.
NAMED = 5
GROUPS = 12
STORES = 8
#: Events of the chosen store.
NEWEST = 5
MINUTES = 60


async def show(visit: Visit) -> Answer:
    """Return the first page."""
    scope = visit.token.scope if not visit.is_operator else None
    failing = await visit.services.ledger.failing.read(scope)
    values = await _failing(visit, failing)
    if visit.is_operator:
        values |= await _of_the_fleet(visit)
    else:
        page = await visit.services.ledger.integrations.page(visit.token.scope, 0, 1)
        values |= {"integrations": page.total}
    events = await visit.services.ledger.events.page(visit.chosen, 0, NEWEST) if visit.chosen is not None else None
    return Html("now.html", values | {"events": events})


async def stores(visit: Visit) -> Answer:
    """Return the page on which an operator chooses a store."""
    failing = await visit.services.ledger.failing.read()
    in_flight = await visit.services.ledger.status.in_flight_by_scope()
    counts: dict[str, int] = {}
    for each in failing.lanes:
        counts[each.scope] = counts.get(each.scope, 0) + 1
    keys = sorted({*counts, *in_flight}, key=lambda key: (-counts.get(key, 0), -in_flight.get(key, 0), key))[:100]
    rows = [(Scope.of_key(key), counts.get(key, 0), in_flight.get(key, 0)) for key in keys]
    return Html("stores.html", {"rows": rows})


async def _failing(visit: Visit, failing: FailingReceivers) -> dict[str, Any]:
    found = groups_of(failing.lanes)
    groups = found[:GROUPS]
    ids = [each.id for group in groups for each in group.lanes[:NAMED]]
    known = {each.id: each for each in await visit.services.ledger.integrations.get(ids)} if ids else {}
    return {
        "failing": failing,
        "groups": groups,
        "more_groups": len(found) > GROUPS,
        "named": NAMED,
        "known": known,
        "places": _places(known),
        "open_circuits": sum(bool(each.circuit) for each in failing.lanes),
        "disabled": sum(each.hold == "disabled" for each in failing.lanes),
    }


def _places(known: Mapping[str, Integration]) -> Mapping[str, str]:
    return {each.id: place_of(each) for each in known.values()}


async def _of_the_fleet(visit: Visit) -> dict[str, Any]:
    ledger = visit.services.ledger
    status, pulse, in_flight, pressure = await asyncio.gather(
        ledger.status.read(lanes=20), ledger.pulse.read(MINUTES), ledger.status.in_flight_by_scope(), ledger.inbox.age()
    )
    accepted, attempts = rates(pulse, "accepted"), rates(pulse, "attempts")
    sampled = sum(in_flight.values())
    shares = [(Scope.of_key(key), count, count / sampled) for key, count in list(in_flight.items())[:STORES]]
    oldest = max((each.oldest_due_age for each in status.lanes if each.due and not each.hold), default=-1)
    return {
        "status": status,
        "charts": {"events": line(accepted), "deliveries": line(attempts), "inbox": line(_inbox(pulse))},
        "rates": {"events": accepted[-1] if accepted else 0.0, "deliveries": attempts[-1] if attempts else 0.0},
        "shares": shares,
        "oldest_due": oldest,
        "inbox_age": pressure,
        "water": visit.services.settings.memory_high_water,
    }


def _inbox(pulse: Sequence[Any]) -> list[float]:
    return [float(each.inbox) for each in pulse]
