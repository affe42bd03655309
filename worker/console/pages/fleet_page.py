"""The processes of the fleet, and the lines of `edw doctor`."""

import asyncio
from collections.abc import Sequence

from worker.console.console_services import DoctorLine
from worker.console.visit import Answer, Html, Visit
from worker.domain.format_version import FORMAT, MINOR
from worker.ledger.process_identity import ProcessIdentity


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
    versions = {each.owner: each.minor for each in members}
    return Html(
        "fleet.html",
        {
            "workers": [(each, _name(each.owner), versions.get(each.owner)) for each in workers],
            "apis": [(_name(each.owner), each.minor) for each in members if each.kind == "api"],
            "version": f"{FORMAT}.{MINOR}",
            "clock_difference": clock.now - visit.now,
            "lines": lines,
            "has_doctor": visit.doctor is not None,
        },
    )


def _name(owner: str) -> str:
    """Return a process as people name it: host and process id."""
    identity = ProcessIdentity.of(owner)
    return f"{owner.rsplit(':', 4)[0]}, process {identity.pid}" if identity else owner
