"""Circuits: what opens one, that it spends nothing while it is open, and how it closes. Shared by the fleet."""

import pytest

from tests.ledger import raw
from tests.ledger.scene import HOUR, LedgerScene, settlement
from tests.samples import an_integration
from worker.domain.claim import Claim
from worker.ledger import Verdict
from worker.ledger.lanes.settlements import CircuitChange
from worker.ledger.policy import CircuitPolicy

COOLS = (60_000, 120_000)
LANE = "i-1"


@pytest.fixture
async def fleet(scene: LedgerScene) -> LedgerScene:
    """Ledgers whose circuits open after 3 failures in a row, or half of 10 in a minute."""
    policy = CircuitPolicy(failures=3, share=0.5, least=10, window=60_000, cools=COOLS)
    strict = await scene.another(circuit=policy, lane_cap=50)
    await scene.register(LANE)
    return LedgerScene(strict, scene.another, scene.outstanding)


async def tried(scene: LedgerScene, *healthy: bool | None) -> list[CircuitChange]:
    """Attempts one after the other, each on a job of its own; answers how the circuit changed."""
    changes: list[CircuitChange] = []
    for number, each in enumerate(healthy):
        await scene.owe(LANE, f"{await scene.counter('accepted')}-{number}")
        (claim,) = await scene.claim(LANE, room=1)
        changes += await ends(scene, claim, each)
    return changes


async def ends(scene: LedgerScene, claim: Claim, healthy: bool | None) -> list[CircuitChange]:
    verdict = Verdict.SUCCEEDED if healthy else Verdict.RETRY
    given = settlement(claim, verdict, delay=2 * HOUR, healthy=healthy)
    return list((await scene.ledger.jobs.settle([given])).circuits)


async def cooled(scene: LedgerScene) -> None:
    """The open circuit's pause is over."""
    await scene.key("HSET", f"lane:{LANE}", "circuit_until", 1)


async def state(scene: LedgerScene) -> str:
    return str((await scene.contents()).hashes[f"lane:{LANE}"].get("circuit", ""))


async def test_failures_in_a_row_open_it_for_the_whole_fleet(fleet: LedgerScene) -> None:
    now = await raw.now(fleet.ledger)
    changes = await tried(fleet, False, False, False)
    assert [(change.integration_id, change.is_open) for change in changes] == [(LANE, True)]
    assert COOLS[0] - 5_000 < changes[0].until - now < COOLS[0] + 30_000
    assert await fleet.counter("circuits_opened") == 1

    other = await fleet.another()
    await fleet.owe(LANE, "waits")
    before = await fleet.counter("attempts")
    for ledger in (fleet.ledger, other):
        assert not (await ledger.jobs.claim([LANE], 10)).claims
    found = await other.fleet.sweep()
    assert found.lanes == []
    assert found.wait > COOLS[0] - 30_000
    assert await fleet.counter("attempts") == before


async def test_a_success_in_between_begins_the_count_anew(fleet: LedgerScene) -> None:
    assert await tried(fleet, False, False, True, False, False) == []
    assert await tried(fleet, False) != []


async def test_a_share_of_failures_opens_it_where_none_are_in_a_row(fleet: LedgerScene) -> None:
    """Half of ten: a window begins with a failure."""
    assert await tried(fleet, *[False, True] * 4, False) == []
    assert [change.is_open for change in await tried(fleet, False)] == [True]


async def test_what_failed_before_the_window_does_not_count(fleet: LedgerScene) -> None:
    await tried(fleet, *[False, True] * 4)
    await fleet.key("HSET", f"lane:{LANE}", "window_from", 1)
    assert await tried(fleet, False, True, False, True) == []


async def test_an_attempt_that_says_nothing_of_the_receiver_changes_nothing(fleet: LedgerScene) -> None:
    assert await tried(fleet, False, False, None, None, None) == []
    assert await tried(fleet, False) != []


async def test_a_lane_that_does_well_is_only_read(fleet: LedgerScene) -> None:
    await tried(fleet, True, True)
    assert not {"failures", "window_from", "circuit"} & set((await fleet.contents()).hashes[f"lane:{LANE}"])


async def test_when_it_has_cooled_one_attempt_is_let_through(fleet: LedgerScene) -> None:
    await tried(fleet, False, False, False)
    await fleet.owe(LANE, "a", "b", "c")
    await cooled(fleet)
    (probe,) = await fleet.claim(LANE)
    assert await state(fleet) == "half"
    assert await fleet.claim(LANE, by=await fleet.another()) == []

    (change,) = await ends(fleet, probe, True)
    assert (change.is_open, change.until) == (False, 0)
    assert await state(fleet) == ""
    assert await fleet.counter("circuits_closed") == 1
    assert len(await fleet.claim(LANE)) == 2


async def test_a_probe_that_fails_opens_it_for_longer_and_the_last_pause_is_repeated(fleet: LedgerScene) -> None:
    await tried(fleet, False, False, False)
    for cool in (COOLS[1], COOLS[1]):
        await cooled(fleet)
        now = await raw.now(fleet.ledger)
        (change,) = await tried(fleet, False)
        assert cool - 5_000 < change.until - now < cool + 30_000


async def test_after_it_has_closed_the_first_pause_is_the_first_again(fleet: LedgerScene) -> None:
    await tried(fleet, False, False, False)
    await cooled(fleet)
    await tried(fleet, True)
    now = await raw.now(fleet.ledger)
    (change,) = await tried(fleet, False, False, False)
    assert change.until - now < COOLS[0] + 30_000


async def test_a_probe_that_is_lost_with_its_worker_leaves_room_for_another(fleet: LedgerScene) -> None:
    await tried(fleet, False, False, False)
    await fleet.owe(LANE, "a", "b")
    await cooled(fleet)
    (probe,) = await fleet.claim(LANE)
    await ends(fleet, probe, None)
    assert await state(fleet) == "half"
    assert len(await fleet.claim(LANE)) == 1


async def test_a_late_success_of_what_was_in_flight_closes_it(fleet: LedgerScene) -> None:
    await fleet.owe(LANE, "slow")
    (slow,) = await fleet.claim(LANE)
    await tried(fleet, False, False, False)
    assert [change.is_open for change in await ends(fleet, slow, True)] == [False]
    assert await state(fleet) == ""


async def test_a_failure_while_it_is_open_does_not_open_it_again(fleet: LedgerScene) -> None:
    await fleet.owe(LANE, "slow")
    (slow,) = await fleet.claim(LANE)
    await tried(fleet, False, False, False)
    assert await ends(fleet, slow, False) == []
    assert await fleet.counter("circuits_opened") == 1


async def test_new_events_of_an_open_circuit_wait_and_take_no_place(fleet: LedgerScene) -> None:
    await tried(fleet, False, False, False)
    claims, waiting = await fleet.open(await fleet.publish("new"), LANE, room=5)
    assert (claims, waiting) == ([], [])
    assert (await fleet.ledger.status.read()).pending == 4


async def test_a_changed_configuration_closes_it_and_old_attempts_say_nothing_of_the_new_one(
    fleet: LedgerScene,
) -> None:
    await fleet.owe(LANE, "old")
    (old,) = await fleet.claim(LANE)
    await tried(fleet, False, False, False)
    await fleet.ledger.integrations.put(an_integration(LANE, name="mended"))
    assert await state(fleet) == ""
    assert not {"trips", "circuit_until"} & set((await fleet.contents()).hashes[f"lane:{LANE}"])
    await tried(fleet, False, False)
    assert await ends(fleet, old, False) == []


async def test_status_says_which_circuits_are_open(fleet: LedgerScene) -> None:
    await tried(fleet, False, False, False)
    (lane,) = (await fleet.ledger.status.read()).lanes
    assert lane.circuit == "open"
    assert COOLS[0] - 30_000 < lane.circuit_wait <= COOLS[0]


async def test_without_a_policy_no_circuit_opens(scene: LedgerScene) -> None:
    await scene.register(LANE)
    assert await tried(scene, *[False] * 30) == []
