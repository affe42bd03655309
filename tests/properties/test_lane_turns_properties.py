"""Turns of lanes: no store waits for more than one lane of each other store, and no lane is lost or doubled."""

from hypothesis import given
from hypothesis import strategies as st

from worker.delivery.lane_turns import LaneTurns

STORES = st.integers(0, 4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), STORES, st.integers(0, 20)),
        st.tuples(st.just("discard"), STORES, st.integers(0, 20)),
        st.tuples(st.just("take"), st.integers(0, 5), st.just(0)),
    ),
    max_size=80,
)


def lane_of(store: int, number: int) -> str:
    return f"{store}-{number}"


@given(STEPS)
def test_each_queued_lane_is_taken_once_and_in_its_stores_order(steps: list[tuple[str, int, int]]) -> None:
    turns, model = LaneTurns(), dict[int, list[str]]()
    for what, first, second in steps:
        mine = model.setdefault(first, [])
        if what == "add":
            turns.add(lane_of(first, second), str(first))
            if lane_of(first, second) not in mine:
                mine.append(lane_of(first, second))
        elif what == "discard":
            assert turns.discard(lane_of(first, second)) == (lane_of(first, second) in mine)
            model[first] = [each for each in mine if each != lane_of(first, second)]
        else:
            queued = sum(map(len, model.values()))
            taken = turns.take(first)
            assert len(taken) == min(first, queued)
            for lane in taken:
                assert model[int(lane[0])].pop(0) == lane
        assert len(turns) == sum(map(len, model.values()))
        assert all(lane in turns for lanes in model.values() for lane in lanes)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 40))
def test_what_is_taken_is_shared_equally_among_stores_that_have_enough(sizes: list[int], most: int) -> None:
    turns = LaneTurns()
    for store, size in enumerate(sizes):
        for number in range(size):
            turns.add(lane_of(store, number), str(store))
    taken = turns.take(most)
    got = [sum(lane.startswith(f"{store}-") for lane in taken) for store in range(len(sizes))]
    short = min((count for count, size in zip(got, sizes, strict=True) if count < size), default=None)
    # Nobody got more than one lane above a store that could have had more.
    assert short is None or max(got) <= short + 1
    assert sum(got) == min(most, sum(sizes))
