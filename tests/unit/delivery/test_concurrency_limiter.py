"""Slots: a lane that hangs or fails gets few of them, and one that does well what there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.delivery.concurrency_limiter import ConcurrencyLimiter
from worker.delivery.lane_trust import LATELY_SECONDS, PROBE_SECONDS, PROVEN_SLOTS, SLOW_SECONDS, Trust

TOTAL = 40
SHARE = 10


def proven(slots: ConcurrencyLimiter, lane: str) -> None:
    slots.started(lane, f"first of {lane}", 0.0)
    slots.ended(lane, f"first of {lane}", True, 0.1)


def hanging(slots: ConcurrencyLimiter, lane: str, count: int = 1) -> None:
    for number in range(count):
        slots.started(lane, f"{lane}-{number}", 0.0)


def test_a_lane_of_which_nothing_is_known_begins_with_one() -> None:
    slots = ConcurrencyLimiter(TOTAL)
    assert slots.limits(["new"], 0.0) == {"new": 1}
    slots.started("new", "j", 0.0)
    assert slots.limits(["new"], 0.1) == {"new": 0}


def test_one_that_delivers_gets_to_any_number_within_a_few_answers() -> None:
    slots, now, may = ConcurrencyLimiter(TOTAL), 0.0, 1
    for _ in range(5):
        for number in range(may):
            slots.started("good", f"{now}-{number}", now)
        for number in range(may):
            slots.ended("good", f"{now}-{number}", True, now + 0.1)
        now += 0.2
        may = slots.limits(["good"], now, overdue=True)["good"]
    assert may >= TOTAL


def test_a_busy_one_that_begins_to_hang_takes_no_more_than_twice_what_it_had_answered_at_a_time() -> None:
    slots = ConcurrencyLimiter(TOTAL)
    proven(slots, "busy")
    hanging(slots, "busy", PROVEN_SLOTS)
    assert slots.limits(["busy"], 0.2) == {"busy": 0}


def test_what_it_had_answered_at_a_time_counts_only_for_a_while() -> None:
    slots = ConcurrencyLimiter(TOTAL)
    hanging(slots, "busy", 10)
    for number in range(10):
        slots.ended("busy", f"busy-{number}", True, 0.1)
    assert slots.limits(["busy"], 0.2) == {"busy": 20}
    assert slots.limits(["busy"], 0.2 + LATELY_SECONDS) == {"busy": PROVEN_SLOTS}
    # With a backlog, and nothing that was delivered just now, it is to show first that it still does well.
    assert slots.limits(["busy"], 0.2 + LATELY_SECONDS, overdue=True) == {"busy": 1}


def test_many_that_begin_to_hang_at_once_leave_a_quarter_of_the_process_to_what_delivers() -> None:
    slots, now = ConcurrencyLimiter(TOTAL), 0.0
    lanes = [f"lane-{number}" for number in range(2 * TOTAL)]
    for lane in ("good", *lanes):
        proven(slots, lane)
    taken = 0
    for number, lane in enumerate(lanes):
        now = 1.0 + number / 100
        slots.started("good", f"g-{number}", now)
        slots.ended("good", f"g-{number}", True, now)
        for job in range(min(1, slots.limits([lane], now)[lane])):
            slots.started(lane, f"j-{job}", now)
            taken += 1
    assert taken == TOTAL - SHARE
    assert slots.limits(["good"], now)["good"] >= PROVEN_SLOTS


@pytest.mark.parametrize(("did_well", "took"), [(False, 0.1), (True, SLOW_SECONDS + 0.1)])
def test_a_failure_or_a_slow_success_makes_it_suspect_until_it_does_well(did_well: bool, took: float) -> None:
    slots = ConcurrencyLimiter(TOTAL)
    proven(slots, "lane")
    slots.started("lane", "j", 1.0)
    slots.ended("lane", "j", did_well, 1.0 + took)
    assert slots.limits(["lane"], 5.0) == {"lane": SHARE}
    slots.started("lane", "k", 5.0)
    slots.ended("lane", "k", True, 5.1)
    assert slots.limits(["lane"], 5.2) == {"lane": PROVEN_SLOTS}


def test_what_says_nothing_of_the_receiver_changes_nothing() -> None:
    slots = ConcurrencyLimiter(TOTAL)
    proven(slots, "lane")
    slots.started("lane", "j", 1.0)
    slots.ended("lane", "j", None, 60.0)
    assert slots.limits(["lane"], 60.0) == {"lane": PROVEN_SLOTS}


def test_one_whose_attempt_is_slow_is_suspect_while_it_is_under_way() -> None:
    slots = ConcurrencyLimiter(TOTAL)
    proven(slots, "lane")
    hanging(slots, "lane")
    assert slots.limits(["lane"], SLOW_SECONDS) == {"lane": PROVEN_SLOTS - 1}
    assert slots.limits(["lane"], SLOW_SECONDS + 0.1) == {"lane": SHARE - 1}


def test_suspects_share_a_quarter_and_each_has_two_at_least_while_there_is_room() -> None:
    slots = ConcurrencyLimiter(TOTAL)
    late = SLOW_SECONDS + 1
    for number in range(3):
        hanging(slots, f"bad-{number}")
    found = slots.limits([f"bad-{number}" for number in range(3)], late)
    assert found == {"bad-0": 2, "bad-1": 2, "bad-2": 2}
    for number in range(3, SHARE):
        hanging(slots, f"bad-{number}")
    assert set(slots.limits(["bad-0", "another"], late).values()) == {0, 1}
    assert slots.limits(["bad-0"], late) == {"bad-0": 0}


def test_a_large_event_counts_as_the_slots_that_it_takes() -> None:
    slots = ConcurrencyLimiter(TOTAL)
    proven(slots, "good")
    slots.started("new", "large", 1.0, SHARE - 1)
    assert slots.limits(["another", "third", "good"], 1.1) == {"another": 1, "third": 0, "good": PROVEN_SLOTS}
    slots.started("good", "large", 1.1, PROVEN_SLOTS)
    assert slots.limits(["good"], 1.1) == {"good": 0}
    slots.ended("good", "large", True, 1.2)
    slots.ended("new", "large", None, 1.2)
    assert slots.limits(["another", "third"], 1.2) == {"another": 1, "third": 1}


def test_what_hangs_takes_nothing_from_what_is_new_or_does_well() -> None:
    slots = ConcurrencyLimiter(TOTAL)
    proven(slots, "good")
    for number in range(SHARE):
        hanging(slots, f"bad-{number}")
    assert slots.limits(["good", "new"], SLOW_SECONDS + 1) == {"good": PROVEN_SLOTS, "new": 1}
    # As long as nothing is known of them, they are the new ones.
    assert slots.limits(["good", "new"], 0.5) == {"good": PROVEN_SLOTS, "new": 0}


def test_a_first_attempt_that_does_not_end_soon_makes_room_for_another_new_one() -> None:
    slots = ConcurrencyLimiter(TOTAL)
    for number in range(SHARE):
        hanging(slots, f"new-{number}")
    assert slots.limits(["healthy"], PROBE_SECONDS) == {"healthy": 0}
    assert slots.limits(["healthy"], PROBE_SECONDS + 0.1) == {"healthy": 1}


def test_one_that_the_fleet_knows_to_fail_is_suspect_from_the_start() -> None:
    slots = ConcurrencyLimiter(TOTAL)
    assert slots.unknown(["bad", "new"]) == ["bad", "new"]
    slots.learn(["bad", "new"], {"bad": False, "new": None})
    assert slots.limits(["bad", "new"], 0.0) == {"bad": SHARE, "new": 1}
    assert slots.unknown(["bad", "new"]) == []


def test_one_that_the_fleet_knows_to_do_well_does_not_wait_behind_those_that_hang() -> None:
    """As after a restart: all have jobs that are overdue."""
    slots, now = ConcurrencyLimiter(TOTAL), 1.0
    slots.learn(["good"], {"good": True})
    for number in range(TOTAL):
        now += PROBE_SECONDS / 10
        if slots.limits([lane := f"hangs-{number}"], now, overdue=True)[lane]:
            slots.started(lane, "j", now)
        assert slots.limits(["good"], now, overdue=True) == {"good": 1}
    assert slots.limits(["new"], now, overdue=True) == {"new": 0}


def test_one_that_did_well_does_not_wait_behind_those_that_hang_although_half_of_the_slots_are_in_use() -> None:
    slots, now = ConcurrencyLimiter(TOTAL), 10.0
    proven(slots, "rare")
    slots.learn([f"bad-{number}" for number in range(SHARE)], {f"bad-{number}": False for number in range(SHARE)})
    for lane in [f"bad-{number}" for number in range(SHARE)] + [f"new-{number}" for number in range(SHARE)]:
        slots.started(lane, "j", now)
    assert slots.limits(["another", "rare"], now) == {"another": 0, "rare": 1}
    now += PROBE_SECONDS + 0.1
    assert slots.limits(["another", "rare"], now) == {"another": 0, "rare": 1}
    slots.started("rare", "j", now)
    assert slots.limits(["rare"], now) == {"rare": 0}, "one at a time, until it has delivered"
    slots.ended("rare", "j", True, now)
    assert slots.limits(["rare"], now) == {"rare": PROVEN_SLOTS}


def test_those_that_did_well_and_hang_now_leave_a_quarter_to_what_delivers() -> None:
    slots, lanes = ConcurrencyLimiter(TOTAL), [f"good-{number}" for number in range(TOTAL)]
    slots.learn(lanes, dict.fromkeys(lanes, True))
    proven(slots, "delivers")
    now, taken = 1.0, 0
    for lane in lanes:
        if slots.limits([lane], now, overdue=True)[lane]:
            slots.started(lane, "j", now)
            taken += 1
    assert taken == TOTAL - SHARE
    assert slots.limits(lanes, now, overdue=True) == dict.fromkeys(lanes, 0)
    slots.started("delivers", "next", now)
    slots.ended("delivers", "next", True, now)
    assert slots.limits(["delivers"], now)["delivers"] > 0


def test_a_new_one_with_nothing_overdue_does_not_wait_behind_those_that_have() -> None:
    """As after a restart: whatever hangs has a backlog, however many there are."""
    slots, now = ConcurrencyLimiter(TOTAL), 0.0
    for number in range(200):
        now += PROBE_SECONDS
        lane = f"hangs-{number}"
        if slots.limits([lane], now, overdue=True)[lane]:
            slots.started(lane, "j", now)
    assert slots.limits(["fresh"], now) == {"fresh": 1}
    assert slots.limits(["another"], now, overdue=True) == {"another": 0}


def test_what_a_lane_did_here_counts_more_than_what_is_learned_of_it() -> None:
    slots = ConcurrencyLimiter(TOTAL)
    proven(slots, "good")
    slots.learn(["good"], {"good": False})
    assert slots.limits(["good"], 1.0) == {"good": PROVEN_SLOTS}


def test_one_that_has_delivered_is_not_suspect_as_soon_as_a_new_one() -> None:
    slots = ConcurrencyLimiter(TOTAL)
    proven(slots, "good")
    hanging(slots, "good")
    assert slots.limits(["good"], SLOW_SECONDS) == {"good": PROVEN_SLOTS - 1}


def test_the_end_of_an_attempt_frees_a_slot_for_others_only_where_it_counted() -> None:
    slots = ConcurrencyLimiter(TOTAL)
    proven(slots, "good")
    for lane in ("good", "new", "slow"):
        hanging(slots, lane)
    assert not slots.ended("good", "good-0", True, 0.1)
    assert slots.ended("new", "new-0", True, 0.1)
    assert slots.ended("slow", "slow-0", True, SLOW_SECONDS + 1)
    assert not slots.ended("unknown", "j", True, 0.1)


def test_half_of_the_process_is_for_what_does_well_however_many_new_ones_hang() -> None:
    slots, now, taken = ConcurrencyLimiter(TOTAL), 0.0, 0
    for number in range(200):
        now += SLOW_SECONDS
        lane = f"new-{number}"
        if slots.limits([lane], now)[lane]:
            slots.started(lane, "j", now)
            taken += 1
    assert taken == 2 * SHARE


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from(["start", "good", "bad", "nothing"]), st.floats(0, 5)),
        max_size=60,
    )
)
def test_whatever_happens_the_limits_keep_to_the_shares(steps: list[tuple[str, str, float]]) -> None:
    slots, now, under_way, number = ConcurrencyLimiter(TOTAL), 0.0, dict[str, list[str]](), 0
    for lane, what, pause in steps:
        now += pause
        mine = under_way.setdefault(lane, [])
        if what == "start":
            number += 1
            mine.append(f"j-{number}")
            slots.started(lane, mine[-1], now)
        elif mine:
            slots.ended(lane, mine.pop(), {"good": True, "bad": False, "nothing": None}[what], now)
    for overdue in (False, True):
        found = slots.limits("abcdefg", now, overdue=overdue)
        assert all(limit >= 0 for limit in found.values())
        if all(what != "good" for _, what, _ in steps):
            # Nobody is proven.
            assert all(limit <= SHARE for limit in found.values())
            assert sum(found.values()) <= 2 * SHARE


def new_ones(slots: ConcurrencyLimiter, now: float, name: str) -> list[str]:
    """Start an attempt of each new lane that may have one, and return these lanes."""
    lanes = [f"{name}-{number}" for number in range(2 * TOTAL)]
    found = [lane for lane, limit in slots.limits(lanes, now, overdue=True).items() if limit]
    for lane in found:
        slots.started(lane, "j", now)
    return found


def test_while_new_ones_do_well_they_get_more_up_to_seven_eighths() -> None:
    slots, now, sizes = ConcurrencyLimiter(TOTAL), 0.0, []
    for number in range(6):
        lanes = new_ones(slots, now, f"round-{number}")
        sizes.append(len(lanes))
        now += 0.1
        for lane in lanes:
            slots.ended(lane, "j", True, now)
    reserved = SHARE // 4
    assert sizes[0] == SHARE - reserved
    assert sizes[1] == SHARE + sizes[0] - reserved
    assert sizes[-1] == TOTAL - SHARE // 2 - reserved


@pytest.mark.parametrize("ends", [False, True])
def test_new_ones_that_fail_or_hang_halve_what_new_ones_get_down_to_a_quarter(ends: bool) -> None:
    slots = ConcurrencyLimiter(TOTAL)
    for number in range(4):
        lanes = new_ones(slots, number / 10, f"round-{number}")
        for lane in lanes:
            slots.ended(lane, "j", True, number / 10)
    before = slots.free(0.3)[Trust.UNPROVEN]
    slots.started("bad", "j", 0.3)
    if ends:
        slots.ended("bad", "j", False, 0.3)
        assert slots.free(0.3)[Trust.UNPROVEN] == (before + SHARE // 4) // 2 - SHARE // 4
        for number in range(3):
            slots.started(f"bad-{number}", "j", 0.3)
            slots.ended(f"bad-{number}", "j", False, 0.3)
    now = 0.3 + PROBE_SECONDS + 0.1
    assert slots.free(now)[Trust.UNPROVEN] == SHARE - SHARE // 4


def test_what_new_ones_earned_counts_only_for_a_while() -> None:
    slots = ConcurrencyLimiter(TOTAL)
    for lane in new_ones(slots, 0.0, "new"):
        slots.ended(lane, "j", True, 0.0)
    assert slots.free(LATELY_SECONDS)[Trust.UNPROVEN] > SHARE - SHARE // 4
    assert slots.free(LATELY_SECONDS + 0.1)[Trust.UNPROVEN] == SHARE - SHARE // 4


def test_new_ones_that_all_hang_after_many_did_well_leave_an_eighth_to_what_delivers() -> None:
    slots, now = ConcurrencyLimiter(TOTAL), 0.0
    for number in range(6):
        for lane in new_ones(slots, now, f"round-{number}"):
            slots.ended(lane, "j", True, now)
    taken = 0
    for number in range(20):
        taken += len(new_ones(slots, now, f"hangs-{number}"))
        now += PROBE_SECONDS / 4
    assert taken <= TOTAL - SHARE // 2
    proven(slots, "good")
    assert slots.limits(["good"], 0.2)["good"] > 0


def test_a_lane_waits_for_its_own_attempt_or_for_a_share() -> None:
    slots = ConcurrencyLimiter(TOTAL)
    slots.learn(["bad"], {"bad": False})
    hanging(slots, "busy")
    assert slots.waits_for("busy", 0.0) is None
    assert slots.waits_for("new", 0.0) is Trust.UNPROVEN
    assert slots.waits_for("bad", 0.0) is Trust.SUSPECT


def test_one_that_did_well_waits_for_no_share_when_too_many_slots_are_in_use() -> None:
    slots, now = ConcurrencyLimiter(TOTAL), 10.0
    proven(slots, "rare")
    hanging(slots, "busy", TOTAL - SHARE)
    assert slots.limits(["rare"], now) == {"rare": 0}
    assert slots.waits_for("rare", now) is None
    slots.ended("busy", "busy-0", True, now)
    assert slots.limits(["rare"], now) == {"rare": 1}


def test_a_lane_that_hangs_longer_than_usual_gets_fewer_slots_by_as_much() -> None:
    slots = ConcurrencyLimiter(TOTAL, timeout=10.0)
    for lane, timeout in (("usual", None), ("patient", 30.0), ("hurried", 1.0)):
        slots.started(lane, f"{lane}-1", 0.0)
        slots.ended(lane, f"{lane}-1", False, 1.0, timeout)
    usual = slots.limits(["usual"], 1.0)["usual"]
    assert usual > 3
    assert slots.limits(["patient"], 1.0)["patient"] == usual // 3
    assert slots.limits(["hurried"], 1.0)["hurried"] == usual
