"""Busy lanes: what is counted as attempts begin and end is what a look at every lane finds."""

from hypothesis import given
from hypothesis import strategies as st

from worker.delivery.busy_lanes import BusyLanes
from worker.delivery.lane_trust import LATELY_SECONDS, PROBE_SECONDS, SLOW_SECONDS, Trust, TrustedLane

HALF = 4
STEPS = st.lists(
    st.tuples(
        st.sampled_from("abcdef"),
        st.sampled_from(["begin", "good", "bad", "nothing", "learn", "look"]),
        st.sampled_from([0.0, 0.1, LATELY_SECONDS, PROBE_SECONDS + 0.01, SLOW_SECONDS]),
        st.integers(1, 3),
    ),
    max_size=60,
)


def looked_at_each(lanes: dict[str, TrustedLane], now: float) -> tuple[dict[Trust, int], int]:
    """Return the slots by trust and the number of suspect lanes, by a look at every lane."""
    crowded = sum(lane.used for lane in lanes.values()) >= HALF
    slots, suspects = dict.fromkeys(Trust, 0), 0
    for lane in lanes.values():
        if lane.under_way:
            trust = lane.trust(now, crowded)
            slots[trust] += lane.used
            suspects += trust is Trust.SUSPECT
    return slots, suspects


@given(STEPS)
def test_the_counts_are_those_of_a_look_at_every_lane(steps: list[tuple[str, str, float, int]]) -> None:
    busy, lanes, now = BusyLanes(HALF), {name: TrustedLane() for name in "abcdef"}, 0.0
    for number, (name, what, pause, slots) in enumerate(steps):
        now += pause
        lane = lanes[name]
        if what == "begin":
            busy.begin(name, lane, f"attempt {number}", now, slots)
        elif what == "learn":
            lane.did_well = False
            busy.look_again()
        elif what == "look":
            busy.look(now)
        elif lane.under_way:
            busy.look_at(lane, now)
            at_once = lane.used
            busy.end(name, lane, next(iter(lane.under_way)))
            lane.did_well = {"good": True, "bad": False, "nothing": lane.did_well}[what]
            if lane.did_well:
                lane.does_well(at_once, now)
            busy.look_at(lane, now)
        assert {name for name in lanes if busy.get(name)} == {name for name in lanes if lanes[name].under_way}
    busy.look(now)
    assert (busy.slots, busy.suspects) == looked_at_each(lanes, now)


@given(STEPS)
def test_a_lane_that_turns_out_to_hang_is_reported_once(steps: list[tuple[str, str, float, int]]) -> None:
    busy, now, turned = BusyLanes(HALF), 0.0, 0
    lanes = {name for name, *_ in steps}
    for name in lanes:
        busy.begin(name, TrustedLane(), "attempt", now, 1)
    for _, _, pause, _ in steps:
        now += pause
        turned += busy.look(now)
    assert turned == (len(lanes) if now > PROBE_SECONDS else 0)


def test_a_lane_that_has_not_delivered_lately_is_unproven_as_soon_as_half_of_the_slots_are_in_use() -> None:
    busy, lane, now = BusyLanes(HALF), TrustedLane(did_well=True), LATELY_SECONDS + 0.1
    busy.begin("lane", lane, "attempt", now, 1)
    busy.look(now)
    assert busy.slots[Trust.PROVEN] == 1
    busy.begin("large", TrustedLane(), "attempt", now, HALF)
    busy.look(now)
    assert busy.slots == {Trust.PROVEN: 0, Trust.SUSPECT: 0, Trust.UNPROVEN: 1 + HALF}


def test_lanes_are_looked_at_again_only_when_the_trust_in_one_may_have_changed() -> None:
    busy, looks = BusyLanes(HALF), 0

    class Counting(TrustedLane):
        def trust(self, now: float, crowded: bool) -> Trust:
            nonlocal looks
            looks += 1
            return super().trust(now, crowded)

    for number in range(HALF - 1):
        busy.begin(f"lane {number}", Counting(), "attempt", 0.0, 1)
    busy.look(0.0)
    looks = 0
    for tenth in range(5):
        busy.look(tenth / 10)
    assert looks == 0
    busy.look(PROBE_SECONDS + 0.1)
    assert looks == HALF - 1
