"""Fan-outs in chunks that a script may take: each job once, and every store in its turn."""

from worker.delivery.fan_outs import LANES_PER_CHUNK, QUANTUM, FanOut, FanOutTurns
from worker.domain.event import Scope
from worker.domain.event_parser import stored_event
from worker.domain.stored_event import StoredEvent

Shape = list[tuple[str, int, bool]]


def fan_out(name: str, count: int, store: str = "s") -> FanOut:
    event = stored_event(b'{"type":"order.paid","data":{}}', name, Scope("o", store))
    return FanOut(StoredEvent(event.ref, event, 0), [f"{name}-{n}" for n in range(count)], count)


def shapes(turns: FanOutTurns, size: int) -> list[Shape]:
    """The chunks, each opened before the next one is taken."""
    found = []
    while turns:
        chunk = turns.take(size)
        found.append([(each.fan_out.stored.event.id, len(each.integration_ids), each.last) for each in chunk])
        for part in chunk:
            if not part.last:
                turns.add(part.fan_out)
    return found


def shape(size: int, *fan_outs: FanOut) -> list[Shape]:
    turns = FanOutTurns()
    for each in fan_outs:
        turns.add(each)
    return shapes(turns, size)


def test_nothing_makes_no_chunk() -> None:
    assert shape(3) == []


def test_an_event_that_nobody_observes_leaves_the_inbox_as_well() -> None:
    assert shape(3, fan_out("a", 0)) == [[("a", 0, True)]]


def test_small_events_share_a_chunk() -> None:
    assert shape(3, fan_out("a", 1), fan_out("b", 1, "t")) == [[("a", 1, True), ("b", 1, True)]]


def test_a_large_event_is_split_and_its_last_chunk_says_so() -> None:
    assert shape(3, fan_out("a", 7)) == [[("a", 3, False)], [("a", 3, False)], [("a", 1, True)]]


def test_an_event_that_fills_its_chunk_to_the_brim_ends_with_it() -> None:
    assert shape(3, fan_out("a", 3)) == [[("a", 3, True)]]
    assert shape(3, fan_out("a", 6)) == [[("a", 3, False)], [("a", 3, True)]]


def test_events_without_jobs_take_room_too() -> None:
    assert [len(chunk) for chunk in shape(3, *(fan_out(str(n), 0) for n in range(7)))] == [3, 3, 1]


def test_a_chunk_has_few_lanes() -> None:
    assert len(shape(50, fan_out("a", 5_000))) == 5_000 / LANES_PER_CHUNK


def test_a_chunk_has_many_jobs_of_the_same_lanes() -> None:
    (chunk, rest) = shape(50, *(FanOut(fan_out(str(n), 5).stored, list("abcde"), 5) for n in range(12)))
    assert [(count, last) for _, count, last in chunk] == [(5, True)] * 10
    assert len(rest) == 2


def test_small_events_of_other_stores_are_in_the_next_chunk_beside_a_large_one() -> None:
    turns = FanOutTurns()
    turns.add(fan_out("large", 5_000, "a"))
    (first,) = turns.take(50)
    for store in "bcd":
        turns.add(fan_out(store, 1, store))
    turns.add(first.fan_out)
    assert [(each.fan_out.stored.event.id, len(each.integration_ids)) for each in turns.take(50)] == [
        ("b", 1),
        ("c", 1),
        ("d", 1),
        ("large", LANES_PER_CHUNK - 3),
    ]


def test_large_events_of_several_stores_share_a_chunk_equally() -> None:
    found = shape(50, *(fan_out(store, 500, store) for store in "abcd"))
    assert found[0] == [(store, QUANTUM, False) for store in "ab"]
    assert found[1] == [(store, QUANTUM, False) for store in "cd"]


def test_small_events_of_a_store_do_not_wait_for_its_large_one() -> None:
    found = shape(50, fan_out("large", 500), fan_out("small", 1))
    assert found[0] == [("large", LANES_PER_CHUNK, False)]
    assert ("small", 1, True) in found[1]


def test_a_turn_that_ends_with_its_chunk_goes_on_in_the_next_one() -> None:
    found = shape(QUANTUM + 4, fan_out("a", 100, "a"), fan_out("b", 100, "b"))
    # In turns: a 10, b 4 | b 6, a 8 | a 2, b 10, a 2 | a 8, b 6
    assert [{name: count for name, count, _ in chunk} for chunk in found[:4]] == [
        {"a": QUANTUM, "b": 4},
        {"a": QUANTUM - 2, "b": QUANTUM - 4},
        {"a": 4, "b": QUANTUM},
        {"a": QUANTUM - 2, "b": QUANTUM - 4},
    ]


def test_a_fan_out_with_a_portion_under_way_is_not_taken_again() -> None:
    turns = FanOutTurns()
    turns.add(fan_out("a", 100))
    assert turns.take(50)
    assert turns.take(50) == []
