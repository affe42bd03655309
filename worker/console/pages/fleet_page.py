"""The processes of the fleet, and the lines of `edw doctor`."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from worker.console.console_services import DoctorLine
from worker.console.process_name import process_name
from worker.console.visit import Answer, Html, Visit
from worker.domain.format_version import FORMAT, MINOR
from worker.ledger.archive_outbox import LAG_PATIENCE


async def show(visit: Visit) -> Answer:
    """Return the processes."""
    return await _page(visit, None)


async def run_doctor(visit: Visit) -> Answer:
    """Run the quick checks of `edw doctor`, and return the processes with its lines."""
    return await _page(visit, await visit.doctor() if visit.doctor else ())


async def _outbox(visit: Visit) -> Mapping[str, Any] | None:
    """Return what waits to be archived, and which process archives; None without a history."""
    if visit.services.settings.history_url is None:
        return None
    found = await visit.services.ledger.outbox.lag()
    return {"found": found, "by": process_name(found.by) if found.by else "", "late": found.lag > LAG_PATIENCE}


async def _page(visit: Visit, lines: Sequence[DoctorLine] | None) -> Html:
    ledger = visit.services.ledger
    workers, members, clock = await asyncio.gather(
        ledger.processes.read(), ledger.membership.members(), ledger.membership.read()
    )
    known = {each.owner: each for each in members}
    return Html(
        "fleet.html",
        {
            "workers": [(each, process_name(each.owner), known.get(each.owner)) for each in workers],
            "apis": [(process_name(each.owner), each) for each in members if each.kind == "api"],
            "builds": {each.build for each in members if each.build},
            "version": f"{FORMAT}.{MINOR}",
            "clock_difference": clock.now - visit.now,
            "outbox": await _outbox(visit),
            "lines": lines,
            "has_doctor": visit.doctor is not None,
        },
    )
