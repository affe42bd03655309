"""What lists and pages show of integrations: their state, their owed jobs and the last 24 hours."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.console.next_step import NextStep, next_step
from worker.console.places import place_of
from worker.console.sparkline import Bar, bars
from worker.console.visit import Visit
from worker.domain.humanize import duration
from worker.domain.integration import Integration
from worker.ledger.inspection.lane_activity import LaneActivity
from worker.ledger.inspection.ledger_status import LaneStatus


@dataclass(frozen=True, slots=True)
class IntegrationRow:
    """An integration with what is known of it now."""

    integration: Integration
    lane: LaneStatus
    activity: LaneActivity
    step: NextStep
    place: str

    @property
    def owed(self) -> int:
        """Pending jobs."""
        return self.lane.due + self.lane.leased

    @property
    def bars(self) -> Sequence[Bar]:
        """A chart of the last 24 hours."""
        hours = self.activity.hours
        return bars([each.attempts for each in hours], [each.failed for each in hours])

    @property
    def rate(self) -> str:
        """The share of attempts that succeeded, in words."""
        share = self.activity.success_rate
        # 99.97 % must not look like 100 %.
        return "–" if share is None else f"{int(share * 1000) / 10:g} %"

    @property
    def p95(self) -> str:
        """The time within which 95 % of the attempts ended, in words."""
        found = self.activity.p95
        if found is None:
            return "–"
        return f"≤ {duration(found[0])}" if found[0] is not None else "> 3 s"


async def rows_of(visit: Visit, integrations: Sequence[Integration]) -> list[IntegrationRow]:
    """Return the rows of some integrations."""
    ledger, ids = visit.services.ledger, [each.id for each in integrations]
    lanes = await ledger.status.of_lanes(ids)
    activity = await ledger.activity.of_lanes(ids)
    return [
        IntegrationRow(each, lane, activity[each.id], next_step(each, lane, visit.now), place_of(each))
        for each, lane in zip(integrations, lanes, strict=True)
    ]
