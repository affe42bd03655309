"""What the console reads: lanes that fail, the attempts of each hour, the counters of each minute."""

import pytest

from tests.ledger.scene import LedgerScene, a_day
from tests.samples import ELSEWHERE, SCOPE
from worker.domain.event import Scope
from worker.ledger import Ledger, Verdict
from worker.ledger.inspection.lane_activity import BOUNDS, HOURS, LaneActivity, activity_of
from worker.ledger.inspection.pulse import PulseLine, rates


async def attempt(scene: LedgerScene, lane: str, event: str, verdict: Verdict, why: str = "") -> None:
    """One attempt at a new job."""
    await scene.owe(lane, event)
    (claim,) = await scene.claim(lane, room=1)
    healthy = verdict is Verdict.SUCCEEDED
    await scene.settle(claim, verdict, delay=3_600, healthy=healthy, why=why)


async def failing(ledger: Ledger, scope: Scope | None = None) -> list[tuple[str, str, int]]:
    found = await ledger.failing.read(scope)
    assert found.total == len(found.lanes)
    return [(each.id, each.why, each.attempts) for each in found.lanes]


async def test_a_lane_is_listed_while_its_last_attempt_failed(scene: LedgerScene) -> None:
    ledger = scene.ledger
    await scene.register("i-1", "i-2")
    assert await failing(ledger) == []
    await attempt(scene, "i-1", "e-1", Verdict.RETRY, "answered 500")
    await attempt(scene, "i-1", "e-2", Verdict.RETRY, "answered 502")
    await attempt(scene, "i-2", "e-3", Verdict.SUCCEEDED)
    assert await failing(ledger) == [("i-1", "answered 502", 2)]
    assert await failing(ledger, SCOPE) == [("i-1", "answered 502", 2)]
    assert await failing(ledger, ELSEWHERE) == []
    await attempt(scene, "i-1", "e-4", Verdict.SUCCEEDED)
    assert await failing(ledger) == await failing(ledger, SCOPE) == []


async def test_the_index_of_failing_lanes_has_pages(scene: LedgerScene) -> None:
    lanes = [f"i-{number}" for number in range(3)]
    await scene.register(*lanes)
    for number, lane in enumerate(lanes):
        await attempt(scene, lane, f"e-{number}", Verdict.RETRY, "answered 500")
    first, rest = await scene.ledger.failing.read(None, 2), await scene.ledger.failing.read(SCOPE, 2, 2)
    assert first.total == rest.total == 3
    assert sorted(each.id for each in (*first.lanes, *rest.lanes)) == lanes


@pytest.mark.parametrize("change", ["renewed", "deleted"])
async def test_a_lane_is_unlisted_when_its_receiver_changes_or_goes(scene: LedgerScene, change: str) -> None:
    await scene.register("i-1")
    await attempt(scene, "i-1", "e-1", Verdict.RETRY, "answered 500")
    if change == "renewed":
        await scene.register("i-1")
    else:
        await scene.ledger.integrations.delete("i-1")
    assert await failing(scene.ledger) == await failing(scene.ledger, SCOPE) == []


async def test_an_attempt_that_fails_after_the_deletion_lists_nothing(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    (claim,) = await scene.claim("i-1", room=1)
    await scene.ledger.integrations.delete("i-1")
    await scene.settle(claim, Verdict.RETRY, healthy=False, why="answered 500")
    assert await failing(scene.ledger) == []


@pytest.mark.parametrize("why", ["x" * 500, "ü" * 300, "x" + "ü" * 300, "\U0001f980" * 80, "xyz" + "\U0001f980" * 80])
async def test_a_long_reason_is_cut_between_two_characters(scene: LedgerScene, why: str) -> None:
    await scene.register("i-1")
    await attempt(scene, "i-1", "e-1", Verdict.RETRY, why)
    ((_, kept, _),) = await failing(scene.ledger)
    assert why.startswith(kept)
    assert 196 <= len(kept.encode()) <= 200


async def test_attempts_are_counted_by_hour(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    await attempt(scene, "i-1", "e-1", Verdict.SUCCEEDED)
    await attempt(scene, "i-1", "e-2", Verdict.RETRY, "answered 500")
    await attempt(scene, "i-1", "e-3", Verdict.FAILED, "answered 500")
    found = await scene.ledger.activity.of_lanes(["i-1", "i-2"])
    active, idle = found["i-1"], found["i-2"]
    # The hour may have ended between two attempts.
    assert (active.attempts, sum(each.failed for each in active.hours)) == (3, 2)
    assert active.success_rate == pytest.approx(1 / 3)
    assert active.p95 == (BOUNDS[0],)
    assert abs(active.last_success - (await scene.ledger.membership.read()).now) < 3_600_000
    assert (idle.attempts, idle.success_rate, idle.p95, idle.last_success) == (0, None, None, 0)


def test_two_days_make_the_last_24_hours() -> None:
    yesterday = a_day(5, 7, 0, 7, 0, 0, 0, 0, 0, last=5)
    today = a_day(4, 10, 2, 0, 0, 0, 0, 0, 10, last=9)
    found = activity_of(yesterday, today, 4)
    assert [each.attempts for each in found.hours] == [7, *[0] * 22, 10]
    assert len(found.hours) == HOURS
    assert found.last_success == 9
    assert found.p95 == (None,)
    # An hour later, the oldest hour is over.
    assert activity_of(yesterday, today, 5).attempts == 10
    assert activity_of(b"", b"", 23) == LaneActivity()


async def test_each_minute_has_one_line_however_often_processes_attend(ledger: Ledger) -> None:
    for _ in range(5):
        await ledger.membership.attend("worker")
    lines = await ledger.pulse.read()
    assert 1 <= len(lines) <= 2
    assert lines[0].accepted == 0


def test_rates_come_from_the_lines_and_a_gap_is_no_rate() -> None:
    lines = [PulseLine(minute, accepted, 0, 0, 0, 0) for minute, accepted in ((1, 0), (2, 60), (4, 300), (90, 900))]
    assert rates(lines, "accepted") == [1.0, 2.0, 0.0]
