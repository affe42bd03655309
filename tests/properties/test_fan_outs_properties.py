"""Fan-outs in chunks: whatever comes when, each job is opened once, in order, and no store waits for another's load."""

from hypothesis import given
from hypothesis import strategies as st

from worker.delivery.fan_outs import QUANTUM, FanOut, FanOutPart, FanOutTurns
from worker.domain.event import Scope
from worker.domain.event_parser import stored_event
from worker.domain.stored_event import StoredEvent

SIZES = st.tuples(st.sampled_from("abcd"), st.integers(0, 120))


def fan_out(name: str, count: int, store: str) -> FanOut:
    event = stored_event(b'{"type":"order.paid","data":{}}', name, Scope("o", store))
    return FanOut(StoredEvent(event.ref, event, 0), [f"{name}-{n}" for n in range(count)], count)


class Opening:
    """Chunks under way, and what was opened of each fan-out; it opens nothing of an event that has ended."""

    def __init__(self) -> None:
        self.turns = FanOutTurns()
        self.under_way: list[list[FanOutPart]] = []
        self.opened: dict[FanOut, list[str]] = {}
        self.ended: list[FanOut] = []

    def take(self, most: int) -> None:
        chunk = self.turns.take(most)
        assert sum(max(1, len(each.integration_ids)) for each in chunk) <= most
        busy = {part.fan_out for each in self.under_way for part in each}
        assert not busy & {part.fan_out for part in chunk}
        self.under_way += [chunk] if chunk else []

    def finish(self) -> None:
        for part in self.under_way.pop(0) if self.under_way else ():
            assert part.fan_out not in self.ended
            self.opened.setdefault(part.fan_out, []).extend(part.integration_ids)
            if part.last:
                self.ended.append(part.fan_out)
            else:
                self.turns.add(part.fan_out)


@given(st.lists(st.one_of(SIZES, st.just("take"), st.just("opened")), max_size=60), st.integers(1, 60))
def test_each_job_is_opened_once_and_each_event_ends_once_after_all_its_jobs(steps: list[object], most: int) -> None:
    opening, all_of_them = Opening(), list[FanOut]()
    for step in steps:
        match step:
            case (str(store), int(count)):
                all_of_them.append(fan_out(str(len(all_of_them)), count, store))
                opening.turns.add(all_of_them[-1])
            case "take":
                opening.take(most)
            case "opened":
                opening.finish()
    while opening.turns or opening.under_way:
        opening.take(most)
        opening.finish()
    assert len(opening.ended) == len(all_of_them)
    assert all(opening.opened[each] == list(each.integration_ids) for each in all_of_them)


@given(st.lists(st.integers(1, 400), min_size=2, max_size=6), st.integers(1, 50))
def test_stores_that_have_work_get_equal_parts(sizes: list[int], most: int) -> None:
    turns, got = FanOutTurns(), dict.fromkeys(range(len(sizes)), 0)
    for store, size in enumerate(sizes):
        turns.add(fan_out(str(store), size, str(store)))
    while True:
        chunk = turns.take(most)
        for part in chunk:
            got[int(part.fan_out.store.partition("/")[2])] += len(part.integration_ids)
            if part.last:
                return
            turns.add(part.fan_out)
        assert max(got.values()) - min(got.values()) <= 2 * QUANTUM
