"""The claim loop: each lane in its turn, and those that have all the slots they may have are not forgotten."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from tests.waiting import eventually
from worker.delivery.claim_loop import ClaimLoop
from worker.delivery.concurrency_limiter import SHARE, ConcurrencyLimiter
from worker.delivery.in_flight import InFlightPool
from worker.delivery.lane_limits import LaneLimits
from worker.delivery.lane_queue import PARKED_SECONDS, LaneQueue
from worker.delivery.lane_trust import PROBE_SECONDS, PROVEN_SLOTS
from worker.domain.claim import Claim
from worker.ledger.lanes.claims import Claimed, LaneStanding
from worker.ledger.policy import MAX_IDS_PER_MESSAGE

TOTAL = 16
#: Slots of unproven lanes that have overdue jobs.
OVERDUE_SLOTS = TOTAL // SHARE - TOTAL // SHARE // SHARE


@dataclass
class Lanes:
    """A ledger that only remembers which lanes were claimed from, and knows which ones fail."""

    claimed: list[str] = field(default_factory=list)
    bad: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    #: What the next claim answers.
    answer: Claimed = field(default_factory=lambda: Claimed([]))
    #: The limits of the last claim.
    limits: Mapping[str, int] = field(default_factory=dict)

    async def standings(self, lanes: Sequence[str]) -> Mapping[str, LaneStanding]:
        self.asked += lanes
        return {lane: LaneStanding(f"store of {lane}", False if lane in self.bad else None) for lane in lanes}

    async def claim(self, lanes: Sequence[str], room: int, limits: Mapping[str, int]) -> Claimed:
        self.claimed += lanes
        self.limits = limits
        answer, self.answer = self.answer, Claimed([])
        return answer


@dataclass
class Targets:
    """A cache of targets that remembers what was read."""

    known: set[str] = field(default_factory=set)
    read_lanes: list[Sequence[str]] = field(default_factory=list)
    #: Cleared while the registry does not answer.
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    def unread(self, stores: Mapping[str, str]) -> Sequence[str]:
        return [lane for lane in stores if lane not in self.known]

    async def read(self, lanes: Sequence[str]) -> None:
        self.read_lanes.append(lanes)
        await self.answers.wait()
        self.known |= set(lanes)


@dataclass
class Desk:
    """A claimer at work, with a clock that the test moves; lanes that hang have all the slots that new ones get."""

    now: float = 0.0
    lanes: Lanes = field(default_factory=Lanes)
    targets: Targets = field(default_factory=Targets)
    started: list[Claim] = field(default_factory=list)
    slots: ConcurrencyLimiter = field(default_factory=lambda: ConcurrencyLimiter(TOTAL))
    #: Lanes that other processes were notified of.
    passed_on: list[Sequence[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queue = LaneQueue(self.passed_on.append, lambda: self.now)
        limits = LaneLimits(self.lanes, self.slots, self.queue, lambda: self.now)
        self.pool = InFlightPool(TOTAL)
        self.targets.answers.set()
        self.claimer = ClaimLoop(self.lanes, self.targets, self.pool, limits, self.queue, self.started.extend, 0.0)
        self.slots.started("good", "first", -1.0)
        self.slots.ended("good", "first", True, -1.0)
        for number in range(OVERDUE_SLOTS):
            self.slots.started(f"hangs-{number}", "j", 0.0)

    async def serve(self, *lanes: str) -> None:
        self.queue.put(lanes)
        for _ in range(10):
            await asyncio.sleep(0)


def a_claim(lane: str, store: str) -> Claim:
    return Claim(f"job of {lane}", lane, 1, store, "ref", 1)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    loop = asyncio.create_task(made.claimer.claim_for_ever())
    yield made
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


async def test_a_lane_without_a_slot_waits_until_one_may_be_free(desk: Desk) -> None:
    await desk.serve("new", "good")
    assert desk.lanes.claimed == ["good"]
    desk.queue.attempt_ended("hangs-0", frees_share=desk.slots.ended("hangs-0", "j", False, desk.now))
    await desk.serve()
    assert desk.lanes.claimed == ["good", "new"]


async def test_a_lane_that_has_all_it_may_have_goes_on_when_one_of_its_own_ends_and_wakes_no_other(desk: Desk) -> None:
    for number in range(PROVEN_SLOTS):
        desk.slots.started("good", f"j-{number}", 0.0)
    await desk.serve("new", "good")
    assert desk.lanes.claimed == []
    desk.queue.attempt_ended("good", frees_share=desk.slots.ended("good", "j-0", True, 0.0))
    await desk.serve()
    assert desk.lanes.claimed == ["good"]


async def test_it_is_looked_at_again_in_time_however_much_else_goes_on(desk: Desk) -> None:
    await desk.serve("new")
    for _ in range(20):
        await desk.serve("good")
    assert "new" not in desk.lanes.claimed
    desk.now = PARKED_SECONDS + PROBE_SECONDS
    await desk.serve("good")
    assert "new" in desk.lanes.claimed


async def test_it_is_looked_at_again_in_time_where_nothing_else_goes_on(desk: Desk) -> None:
    await desk.serve("new")
    desk.now = PARKED_SECONDS + PROBE_SECONDS
    await eventually(lambda: desk.lanes.claimed, "it is looked at")
    assert desk.lanes.claimed == ["new"]


async def test_a_lane_that_fails_elsewhere_takes_nothing_from_the_new_ones(desk: Desk) -> None:
    """As after a restart: the process knows nothing, and the ledger does."""
    for number in range(OVERDUE_SLOTS):
        desk.slots.ended(f"hangs-{number}", "j", False, 0.0)
    desk.lanes.bad = {f"bad-{number}" for number in range(TOTAL // SHARE)}
    for lane in sorted(desk.lanes.bad):
        await desk.serve(lane)
        desk.slots.started(lane, "j", 0.0)
    await desk.serve("new")
    assert desk.lanes.claimed[-1] == "new"


async def test_the_fleet_is_asked_once_of_each_lane(desk: Desk) -> None:
    for _ in range(3):
        await desk.serve("new", "good")
    assert sorted(desk.lanes.asked) == ["good", "new"]


async def test_other_processes_are_notified_of_lanes_that_have_no_slot_here_and_not_more_often_than_they_are_looked_at(
    desk: Desk,
) -> None:
    await desk.serve("good", "new-1")
    assert desk.passed_on == [["new-1"]]
    desk.now += PARKED_SECONDS / 2
    await desk.serve("new-2")
    assert desk.passed_on == [["new-1"]]
    desk.now += PARKED_SECONDS
    for number in range(TOTAL):
        desk.slots.started(f"hangs-too-{number}", "j", desk.now)
    desk.queue.wake()
    await desk.serve("new-2")
    assert desk.passed_on[1:] == [["new-2"]]


async def test_a_lane_that_is_not_ready_yet_is_claimed_from_at_its_time(desk: Desk) -> None:
    desk.lanes.answer = Claimed([], later={"good": 0.05})
    await desk.serve("good")
    assert desk.lanes.claimed == ["good"]

    desk.now = 0.05
    await eventually(lambda: desk.lanes.claimed == ["good", "good"], "it is claimed from again")


async def test_of_several_times_of_a_lane_the_earliest_counts_and_none_twice(desk: Desk) -> None:
    desk.queue.put_later({"good": 5.0})
    desk.queue.put_later({"good": 2.0, "other": 3.0})
    desk.queue.put_later({"good": 4.0})

    for now, claimed in ((1.9, []), (2.0, ["good"]), (3.0, ["good", "other"]), (9.0, ["good", "other"])):
        desk.now = now
        await desk.serve()
        desk.queue.wake()
        await desk.serve()
        assert desk.lanes.claimed == claimed


async def test_a_process_that_stops_claiming_forgets_the_times_of_lanes(desk: Desk) -> None:
    desk.queue.put_later({"good": 1.0})
    desk.queue.clear()
    desk.now = 2.0
    desk.queue.wake()
    await desk.serve()
    assert desk.lanes.claimed == []


async def test_a_store_with_many_lanes_delays_another_store_by_one_turn_only(desk: Desk) -> None:
    many = {f"many-{number}": "large" for number in range(500)}
    desk.queue.belong({**many, "good": "small"})
    for lane in many:
        desk.slots.started(lane, "first", -1.0)
        desk.slots.ended(lane, "first", True, -1.0)
    await desk.serve(*many, "good")
    assert desk.lanes.claimed.index("good") <= 1


async def test_lanes_whose_store_is_not_known_are_asked_for_together(desk: Desk) -> None:
    lanes = [f"many-{number}" for number in range(MAX_IDS_PER_MESSAGE + 1)]
    desk.queue.put(lanes)
    await asyncio.sleep(0)
    assert desk.lanes.asked == lanes[:-1]
    await desk.serve()
    assert desk.lanes.asked == lanes


async def test_a_freed_slot_of_a_share_goes_to_one_lane_however_many_are_parked(desk: Desk) -> None:
    lanes = [f"new-{number}" for number in range(300)]
    await desk.serve(*lanes)
    while not desk.queue.is_empty:  # noqa: ASYNC110  (nothing else shows it)
        await asyncio.sleep(0)
    assert desk.lanes.claimed == []
    desk.queue.attempt_ended("hangs-0", frees_share=desk.slots.ended("hangs-0", "j", None, desk.now))
    before = len(desk.lanes.asked)
    await eventually(lambda: desk.lanes.claimed, "a lane is claimed")
    assert desk.lanes.claimed[0] == "new-0"
    assert len(desk.lanes.asked) == before


async def test_a_lane_that_is_announced_again_while_it_is_parked_stays_parked(desk: Desk) -> None:
    await desk.serve("new")
    await desk.serve("new")
    assert desk.queue.is_empty
    assert desk.queue.waits_for_shares


async def test_other_processes_get_one_message_of_lanes_at_most(desk: Desk) -> None:
    await desk.serve(*[f"new-{number}" for number in range(3 * MAX_IDS_PER_MESSAGE)])
    await desk.serve("another")
    desk.now += PARKED_SECONDS
    await desk.serve("third")
    assert all(len(each) <= MAX_IDS_PER_MESSAGE for each in desk.passed_on)
    assert len(desk.passed_on) == 2


async def test_a_process_that_is_alone_notifies_nobody_of_parked_lanes_but_of_those_that_it_hands_over(
    desk: Desk,
) -> None:
    desk.queue.alone = True
    await desk.serve("new-1")
    assert desk.queue.waits_for_shares
    desk.now += PARKED_SECONDS
    await desk.serve()
    assert desk.passed_on == []
    desk.queue.hand_over(["given-back"])
    assert desk.passed_on == [["given-back"]], "this process may be about to end"


async def test_a_store_that_comes_is_served_although_another_has_filled_its_slots(desk: Desk) -> None:
    large = [f"large-{number}" for number in range(TOTAL - 1)]
    desk.queue.belong({**dict.fromkeys(large, "large"), "more": "large", "small": "small"})
    claims = [a_claim(lane, "large") for lane in large]
    for claim in claims:
        desk.pool.add(claim)
    for lane in ("more", "small"):
        desk.slots.started(lane, "first", -1.0)
        desk.slots.ended(lane, "first", True, -1.0)
    await desk.serve("more")
    assert desk.lanes.claimed == [], "the last slot is left to another store"
    await desk.serve("small")
    assert desk.lanes.claimed == ["small"]

    desk.pool.remove(claims[:8])
    desk.queue.wake()
    await desk.serve()
    assert desk.lanes.claimed == ["small", "more"]


async def test_a_lane_with_many_jobs_leaves_slots_to_the_lane_of_another_store(desk: Desk) -> None:
    desk.queue.belong({"many": "a", "good": "b"})
    for number in range(8):
        desk.slots.started("many", str(number), -1.0)
    for number in range(8):
        desk.slots.ended("many", str(number), True, 0.0)
    await desk.serve("many", "good")
    assert desk.lanes.limits == {"many": TOTAL // 2, "good": 1}


async def test_the_integrations_of_new_lanes_are_read_in_one_call_with_their_claim_and_only_once(desk: Desk) -> None:
    desk.queue.belong({"good": "store", "better": "store"})
    desk.slots.started("better", "first", -1.0)
    desk.slots.ended("better", "first", True, -1.0)
    for _ in range(2):
        await desk.serve("good", "better")
    assert desk.targets.read_lanes == [["good", "better"]]
    assert desk.lanes.claimed == ["good", "better"] * 2


async def test_no_attempt_is_started_before_the_integrations_are_read(desk: Desk) -> None:
    desk.targets.answers.clear()
    desk.lanes.answer = Claimed([a_claim("good", "store")])
    await desk.serve("good")
    assert desk.lanes.claimed == ["good"]
    assert not desk.started
    assert desk.pool.calling_since < float("inf"), "its lease is not given back meanwhile"

    desk.targets.answers.set()
    await desk.serve()
    assert [each.integration_id for each in desk.started] == ["good"]
