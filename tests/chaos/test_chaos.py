"""A short run of `make chaos`, which asserts what the long ones do."""

from pathlib import Path

import pytest

from tests.chaos.play import Plan, Progress, play
from tests.chaos.schedule import OVER_REDIS
from tests.counterparts.fake_clock import SteppedRedisServer
from tests.counterparts.server import require


# It takes 20 s; what goes wrong is reported only when its patience is over.
@pytest.mark.timeout(300)
async def test_a_kill_a_stop_or_a_step_of_each_kind_loses_nothing_and_everything_adds_up(tmp_path: Path) -> None:
    reported: list[Progress] = []
    require(SteppedRedisServer)
    plan = Plan(seed="a short one", kills=len(OVER_REDIS), rabbitmq=False, pauses=(1.0, 2.5))
    outcome = await play(plan, tmp_path, reported.append)
    assert outcome.problems == []
    assert [each.victim for each in outcome.records.killed] == [each.victim for each in plan.schedule]
    assert {each.victim for each in outcome.records.killed} == set(OVER_REDIS)
    assert reported[-1].delivered >= reported[-1].accepted > 0
