"""Slots by store: a store that comes finds a free one, and a store that is alone gets nearly all."""

from worker.delivery.store_slots import LEFT_FREE, StoreSlots, limits_by_store

TOTAL = 160


def filled(store: str, slots: StoreSlots, total: int = TOTAL) -> int:
    """Let a store begin as many attempts as it may; return their number."""
    begun = 0
    while slots.room_of(store, total - begun, total) > 0:
        slots.take(store, 1)
        begun += 1
    return begun


def test_a_store_that_is_alone_gets_all_slots_but_a_sixteenth() -> None:
    assert filled("a", StoreSlots()) == TOTAL - TOTAL // LEFT_FREE


def test_a_store_that_comes_may_use_what_a_large_one_leaves_free() -> None:
    slots = StoreSlots()
    free = TOTAL - filled("a", slots)
    assert slots.room_of("a", free, TOTAL) == 0
    assert slots.room_of("b", free, TOTAL) == free > 0


def test_a_store_with_more_than_its_share_gets_slots_again_as_others_end() -> None:
    slots = StoreSlots()
    begun = filled("a", slots)
    slots.give_back("a", 100)
    assert slots.room_of("a", TOTAL - begun + 100, TOTAL) == TOTAL - begun + 100
    slots.give_back("a", begun - 100)
    assert filled("b", slots) == begun


def test_few_slots_are_left_to_nobody() -> None:
    assert filled("a", StoreSlots(), LEFT_FREE - 1) == LEFT_FREE - 1


def test_lanes_of_a_store_share_what_the_store_may_have_in_equal_parts() -> None:
    limits = {"a-1": 4, "a-2": 4, "a-3": 4, "b-1": 4}
    found = limits_by_store(limits, lambda lane: lane[0], {"a": 5, "b": 9}.__getitem__)
    assert found == {"a-1": 1, "a-2": 2, "a-3": 2, "b-1": 4}


def test_what_a_lane_may_not_use_goes_to_the_lanes_behind_it() -> None:
    limits = {"a-1": 1, "a-2": 9, "a-3": 9}
    assert limits_by_store(limits, lambda _: "a", lambda _: 13) == {"a-1": 1, "a-2": 6, "a-3": 6}


def test_what_a_store_may_have_goes_to_as_many_lanes_as_it_is() -> None:
    limits = dict.fromkeys(("a-1", "a-2", "a-3"), 1)
    assert sum(limits_by_store(limits, lambda _: "a", lambda _: 2).values()) == 2
    assert sum(limits_by_store(limits, lambda _: "a", lambda _: 0).values()) == 0
    assert limits_by_store(limits, lambda _: "a", lambda _: 0, least=1) == limits


def test_limits_that_fit_stay_as_they_are() -> None:
    limits = {"a-1": 0, "a-2": 3}
    assert limits_by_store(limits, lambda _: "a", lambda _: 3) == limits
