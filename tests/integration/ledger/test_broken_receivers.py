"""Receivers that stay broken: people are warned, the integration is disabled at last, and an event reports it."""

from dataclasses import replace

import pytest

from tests.ledger import raw
from tests.ledger.scene import HOUR, LedgerScene, a_day, settlement
from tests.samples import an_event, an_integration
from worker.domain.claim import Claim
from worker.ledger import Ledger, Verdict
from worker.ledger.lanes.settlements import BrokenReceiver
from worker.ledger.policy import BrokenPolicy

LANE = "i-1"
AFTER = 1_000_000
POLICY = BrokenPolicy(after=AFTER, attempts=4, words="5 d")


@pytest.fixture
async def fleet(scene: LedgerScene) -> LedgerScene:
    """Ledgers that give a receiver up after 1000 s of nothing but failures, 4 at least."""
    strict = await scene.another(broken=POLICY)
    await scene.register(LANE)
    return LedgerScene(strict, scene.another, scene.outstanding)


async def ends(
    scene: LedgerScene, claim: Claim, healthy: bool | None, delay: float = HOUR, seconds: float = 0.01
) -> list[BrokenReceiver]:
    verdict = Verdict.SUCCEEDED if healthy else Verdict.RETRY
    given = settlement(claim, verdict, delay=delay, healthy=healthy, why="answered 500")
    given = replace(given, log=replace(given.log, processing_time=seconds))
    return list((await scene.ledger.jobs.settle([given])).broken)


async def tried(scene: LedgerScene, *healthy: bool | None) -> list[BrokenReceiver]:
    """Attempts one after the other, each on a job of its own; answers what was warned of."""
    found: list[BrokenReceiver] = []
    for each in healthy:
        await scene.owe(LANE, f"e-{await scene.counter('accepted')}")
        (claim,) = await scene.claim(LANE, room=1)
        found += await ends(scene, claim, each)
    return found


async def failing_for(scene: LedgerScene, milliseconds: int) -> None:
    """The first of the failures was so long ago."""
    await scene.key("HSET", f"lane:{LANE}", "failing_since", await raw.now(scene.ledger) - milliseconds)


async def shown(scene: LedgerScene) -> tuple[bool, str]:
    (found,) = await scene.ledger.integrations.get([LANE])
    return found.enabled, found.disabled_reason


async def test_nothing_but_failures_for_the_whole_time_disable_the_integration_and_say_why(fleet: LedgerScene) -> None:
    await tried(fleet, *[False] * 4)
    await failing_for(fleet, AFTER)
    await tried(fleet, False)
    assert await shown(fleet) == (False, "nothing but failures for 5 d, in 5 attempts; the last one: answered 500")
    # What it is owed waits: nothing is lost by it.
    status = await fleet.ledger.status.read()
    assert (status.pending, status.lanes[0].hold) == (5, "disabled")


async def test_warnings_come_at_half_and_at_nine_tenths_of_the_time_once_each(fleet: LedgerScene) -> None:
    await tried(fleet, *[False] * 4)
    warned = []
    for part in (0.4, 0.51, 0.6, 0.91, 0.95):
        await failing_for(fleet, int(part * AFTER))
        warned += await tried(fleet, False)
    assert [(each.integration_id, each.percent, each.attempts) for each in warned] == [(LANE, 50, 6), (LANE, 90, 8)]


async def test_a_success_begins_the_time_anew(fleet: LedgerScene) -> None:
    await tried(fleet, *[False] * 4)
    await failing_for(fleet, AFTER)
    await tried(fleet, True)
    (found,) = await fleet.ledger.integrations.get([LANE])
    assert (found.failing_since, found.failing_attempts) == (0, 0)
    await tried(fleet, *[False] * 5)
    assert (await shown(fleet))[0]


async def test_any_process_can_ask_how_a_lane_did_last(fleet: LedgerScene) -> None:
    another = await fleet.another()
    assert await how_it_did(another) is None
    for healthy, seconds, did_well in (
        (None, 0.1, None),
        (False, 0.1, False),
        (True, 3.0, True),
        (False, 0.1, False),
        # It delivers, but slowly: nobody knows how well.
        (True, 3.1, None),
        (True, 0.1, None),
    ):
        await fleet.owe(LANE, f"e-{await fleet.counter('accepted')}")
        claim = (await fleet.claim(LANE))[0]
        await ends(fleet, claim, healthy, seconds=seconds)
        assert await how_it_did(another) is did_well


async def test_how_a_lane_did_two_hours_ago_says_nothing(fleet: LedgerScene) -> None:
    await tried(fleet, True)
    for hours, did_well in ((0, True), (1, True), (2, None)):
        # If an hour begins meanwhile, all is repeated.
        began = 0
        while began != (began := await raw.now(fleet.ledger) // round(HOUR * 1000)):
            await fleet.key("DEL", f"activity:{LANE}:{began // 24}")
            then = began - hours
            await fleet.key("SET", f"activity:{LANE}:{then // 24}", a_day(then % 24, 9, 1, 8))
            found = await how_it_did(fleet.ledger)
            await fleet.key("DEL", f"activity:{LANE}:{then // 24}")
        assert found is did_well


async def how_it_did(ledger: Ledger) -> bool | None:
    standings = await ledger.jobs.standings([LANE, "unknown"])
    assert list(standings) == [LANE]
    return standings[LANE].did_well


async def test_a_changed_configuration_begins_the_time_anew(fleet: LedgerScene) -> None:
    await tried(fleet, *[False] * 4)
    await failing_for(fleet, AFTER)
    await fleet.ledger.integrations.put(an_integration())
    await tried(fleet, False)
    assert (await shown(fleet))[0]


async def test_too_few_failures_disable_nothing_however_old(fleet: LedgerScene) -> None:
    await tried(fleet, False, False)
    await failing_for(fleet, 10 * AFTER)
    assert await tried(fleet, False) == []
    assert (await shown(fleet))[0]


async def test_several_jobs_are_several_whichever_fails_last(fleet: LedgerScene) -> None:
    await fleet.owe(LANE, "first")
    (first,) = await fleet.claim(LANE)
    await ends(fleet, first, False)
    await tried(fleet, *[False] * 4)
    await failing_for(fleet, AFTER)
    await fleet.ledger.redelivery.redeliver([first.job_id])
    (again,) = await fleet.claim(LANE)
    await ends(fleet, again, False)
    assert not (await shown(fleet))[0]


async def test_one_job_alone_disables_nothing_for_it_may_be_that_event(fleet: LedgerScene) -> None:
    await fleet.owe(LANE, "poison")
    for _ in range(6):
        (claim,) = await fleet.claim(LANE)
        assert await ends(fleet, claim, False, delay=0) == []
        await failing_for(fleet, 10 * AFTER)
    assert (await shown(fleet))[0]


async def test_attempts_that_say_nothing_of_the_receiver_neither_count_nor_clear(fleet: LedgerScene) -> None:
    await tried(fleet, False, False, None, None)
    (found,) = await fleet.ledger.integrations.get([LANE])
    assert found.failing_attempts == 2


async def test_without_a_time_nothing_is_disabled(scene: LedgerScene) -> None:
    await scene.register(LANE)
    await tried(scene, *[False] * 4)
    await failing_for(scene, 1_000 * AFTER)
    assert await tried(scene, False) == []
    assert (await shown(scene))[0]


# --- the event that reports it


async def test_what_the_fleet_disabled_is_announced_once_whichever_process_sweeps(fleet: LedgerScene) -> None:
    other = await fleet.another()
    await fleet.give_up(LANE)
    for ledger in (fleet.ledger, other):
        assert (await ledger.fleet.sweep()).unannounced == [LANE]

    reported = an_event("reported", type="integration.updated")
    assert await fleet.ledger.integrations.announce_disabled(LANE, [reported])
    assert not await other.integrations.announce_disabled(LANE, [an_event("again")])
    assert (await fleet.ledger.fleet.sweep()).unannounced == []
    assert list((await fleet.contents()).scores["inbox"]) == [reported.ref]


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_person_who_changes_it_first_has_announced_it(fleet: LedgerScene, enabled: bool) -> None:
    await fleet.give_up(LANE)
    await fleet.ledger.integrations.put(an_integration(enabled=enabled))
    assert (await fleet.ledger.fleet.sweep()).unannounced == []
    assert not await fleet.ledger.integrations.announce_disabled(LANE, [an_event("late")])


async def test_a_deleted_one_is_not_announced(fleet: LedgerScene) -> None:
    await fleet.give_up(LANE)
    await fleet.ledger.integrations.delete(LANE)
    assert (await fleet.ledger.fleet.sweep()).unannounced == []


async def test_a_receiver_that_is_gone_is_to_be_announced_too(fleet: LedgerScene) -> None:
    await fleet.owe(LANE, "e-1")
    (claim,) = await fleet.claim(LANE)
    gone = replace(settlement(claim, Verdict.FAILED), disable="answered 410")
    await fleet.ledger.jobs.settle([gone])
    assert (await fleet.ledger.fleet.sweep()).unannounced == [LANE]
    assert await shown(fleet) == (False, "answered 410")
