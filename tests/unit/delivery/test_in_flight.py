"""The pool of attempts in flight: its places, by number and by the bytes of events."""

import pytest

from worker.delivery.in_flight import InFlightPool
from worker.domain.claim import Claim
from worker.domain.event import Event, Scope
from worker.domain.stored_event import StoredEvent

MOST, MOST_BYTES = 10, 1_000


def claim(job: str, size: int) -> Claim:
    event = Event("e-1", "order.paid", Scope("o", "s"), b"x" * size, b"{}", None, None, None)
    return Claim(job, "lane", 1, "o/s", "ref", 1, event=StoredEvent("ref", event, 0))


@pytest.mark.parametrize(("size", "slots"), [(0, 1), (1, 1), (100, 1), (101, 2), (1_000, 10), (5_000, 50)])
def test_an_event_takes_as_many_places_as_its_bytes_are_worth(size: int, slots: int) -> None:
    pool = InFlightPool(MOST, MOST_BYTES)
    large = claim("large", size)
    assert pool.add(large).slots == slots
    assert pool.room == max(0, MOST - slots)
    pool.remove([large])
    assert pool.room == MOST


def test_large_events_leave_no_room_before_their_number_does() -> None:
    pool = InFlightPool(MOST, MOST_BYTES)
    claims = [claim(f"j-{number}", 250) for number in range(4)]
    left = []
    for each in claims:
        pool.add(each)
        left.append(pool.room)
    assert left == [7, 4, 1, 0]
    assert len(pool) == 4

    with pool.reserved(5) as room:
        assert room == 0
    pool.remove(claims[:1])
    assert pool.room == 1


def test_a_place_is_freed_once() -> None:
    pool = InFlightPool(MOST, MOST_BYTES)
    large = claim("large", 500)
    pool.add(large)
    pool.remove([large])
    pool.remove([large])
    assert pool.room == MOST


def test_an_event_that_the_ledger_has_lost_takes_one_place() -> None:
    pool = InFlightPool(MOST, MOST_BYTES)
    assert pool.add(Claim("j", "lane", 1, "o/s", "ref", 1)).slots == 1
