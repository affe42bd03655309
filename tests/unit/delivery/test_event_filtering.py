"""Who gets an event: in steps, so that many filters keep no other task waiting."""

import asyncio

from tests.samples import SCOPE, an_event, an_integration
from worker.delivery.event_filtering import FILTERS_PER_STEP, passing
from worker.domain.matching import Snapshot
from worker.domain.stored_event import StoredEvent

STORED = StoredEvent("r", an_event(data=b'{"n":250}'), 1_000)


async def test_other_tasks_run_while_many_filters_are_checked() -> None:
    filters = [None, *({"data": {"n": {"$gte": number}}} for number in range(1, 5 * FILTERS_PER_STEP))]
    integrations = [an_integration(f"i-{number}", filter=each) for number, each in enumerate(filters)]
    snapshot = Snapshot(SCOPE).updated(1, integrations, ())
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    found, left_out = await passing(snapshot, STORED)
    counting.cancel()
    assert set(found) == {f"i-{number}" for number in range(251)}
    assert left_out == len(filters) - 251
    assert turns >= 4


async def test_a_filter_of_another_key_costs_nothing() -> None:
    other = an_integration("other", observes=("order.created",), filter={"data": {"n": 1}})
    snapshot = Snapshot(SCOPE).updated(1, [an_integration("i"), other], ())
    assert await passing(snapshot, STORED) == (("i",), 0)
