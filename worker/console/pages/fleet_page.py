"""The processes of the fleet, and the lines of `edw doctor`."""

import asyncio
from collections.abc import Sequence

from worker.console.console_services import DoctorLine
from worker.console.process_name import process_name
from worker.console.visit import Answer, Html, Visit
from worker.domain.format_version import FORMAT, MINOR


async def show(visit: Visit) -> Answer:
    """Return the processes."""
    return await _page(visit, None)


async def run_doctor(visit: Visit) -> Answer:
    """Run the quick checks of `edw doctor`, and return the processes with its lines."""
    return await _page(visit, await visit.doctor() if visit.doctor else ())


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
            "lines": lines,
            "has_doctor": visit.doctor is not None,
        },
    )
