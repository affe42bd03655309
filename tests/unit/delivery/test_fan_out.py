"""Events and their matches, in chunks that a script may take."""

from worker.delivery.fan_out import MatchedEvent, chunks
from worker.domain.event import Scope
from worker.domain.event_parser import stored_event
from worker.domain.job import job_id
from worker.domain.stored_event import StoredEvent
from worker.ledger.policy import JOBS_PER_CALL, MAX_JOBS_PER_CALL


def match(name: str, count: int) -> MatchedEvent:
    event = stored_event(b'{"type":"order.paid","data":{}}', name, Scope())
    return MatchedEvent(StoredEvent(event.ref, event, 0), [f"{name}-{n}" for n in range(count)])


def shape(matches: list[MatchedEvent], size: int) -> list[list[tuple[str, int, bool]]]:
    return [[(stored.event.id, len(jobs), last) for stored, jobs, last in chunk] for chunk in chunks(matches, size)]


def test_nothing_makes_no_chunk() -> None:
    assert shape([], 3) == []


def test_an_event_that_nobody_observes_leaves_the_inbox_as_well() -> None:
    assert shape([match("a", 0)], 3) == [[("a", 0, True)]]


def test_small_events_share_a_chunk() -> None:
    assert shape([match("a", 1), match("b", 1)], 3) == [[("a", 1, True), ("b", 1, True)]]


def test_a_large_event_is_split_and_its_last_chunk_says_so() -> None:
    assert shape([match("a", 7)], 3) == [[("a", 3, False)], [("a", 3, False)], [("a", 1, True)]]


def test_an_event_that_fills_its_chunk_to_the_brim_ends_with_it() -> None:
    assert shape([match("a", 3)], 3) == [[("a", 3, True)]]
    assert shape([match("a", 6), match("b", 1)], 3) == [[("a", 3, False)], [("a", 3, True)], [("b", 1, True)]]


def test_an_event_begins_in_what_is_left_of_a_chunk() -> None:
    assert shape([match("a", 2), match("b", 2)], 3) == [[("a", 2, True), ("b", 1, False)], [("b", 1, True)]]


def test_events_without_jobs_take_room_too() -> None:
    assert [len(chunk) for chunk in shape([match(str(n), 0) for n in range(7)], 3)] == [3, 3, 1]


def test_every_job_is_there_once_with_its_own_id() -> None:
    matches = [match("a", 250), match("b", 0), match("c", 130)]
    found = list(chunks(matches))
    opened = [(stored, opening) for chunk in found for stored, jobs, _ in chunk for opening in jobs]
    assert [(stored.event.id, each.integration_id) for stored, each in opened] == [
        (each.stored.event.id, integration) for each in matches for integration in each.integration_ids
    ]
    assert all(each.job_id == job_id(stored.ref, each.integration_id) for stored, each in opened)
    assert len({each.job_id for _, each in opened}) == 380
    assert max(sum(len(jobs) for _, jobs, _ in chunk) for chunk in found) <= JOBS_PER_CALL <= MAX_JOBS_PER_CALL
    assert [stored.event.id for chunk in found for stored, _, last in chunk if last] == ["a", "b", "c"]
