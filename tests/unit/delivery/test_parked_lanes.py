"""Parked lanes: each waits for one share, and leaves once."""

from worker.delivery.lane_trust import Trust
from worker.delivery.parked_lanes import ParkedLanes


def parked(**shares: Trust | None) -> ParkedLanes:
    lanes = ParkedLanes()
    for lane, share in shares.items():
        lanes.add(lane, share, "store")
    return lanes


def test_a_lane_waits_for_the_share_that_it_was_parked_for_first() -> None:
    lanes = parked(a=Trust.UNPROVEN)
    lanes.add("a", Trust.SUSPECT, "store")
    assert (len(lanes), lanes.waiting_for(Trust.UNPROVEN), lanes.waiting_for(Trust.SUSPECT)) == (1, 1, 0)


def test_lanes_of_a_share_are_taken_in_their_turn_and_are_parked_no_more() -> None:
    lanes = parked(a=Trust.UNPROVEN, b=Trust.SUSPECT, c=Trust.UNPROVEN, d=None)
    assert lanes.take(Trust.UNPROVEN, 1) == ["a"]
    assert [lane in lanes for lane in "abcd"] == [False, True, True, True]
    assert lanes.take(Trust.UNPROVEN, 5) == ["c"]
    assert lanes.take(None, 5) == ["d"]


def test_a_lane_is_discarded_once() -> None:
    lanes = parked(a=None, b=Trust.SUSPECT)
    assert [lanes.discard("b"), lanes.discard("b"), lanes.discard("other")] == [True, False, False]
    assert lanes.take(Trust.SUSPECT, 5) == []
    lanes.clear()
    assert (len(lanes), "a" in lanes, lanes.take(None, 5)) == (0, False, [])
