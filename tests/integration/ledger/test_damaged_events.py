"""Events whose opening fails, again and again: set aside in the end, and no trouble of their neighbours."""

import pytest

from tests.ledger import raw
from tests.ledger.scene import LedgerScene, dispatch_of
from tests.samples import SCOPE, an_event
from worker.domain.job import job_id
from worker.domain.matching import Snapshot
from worker.ledger.events.inbox import OBSERVE_TRIES
from worker.ledger.policy import JOBS_PER_CALL

LANE = "i-1"


async def damaged(scene: LedgerScene, key: str) -> None:
    """What is there is none of ours: every command on it fails."""
    await scene.key("SET", key, "damaged")


async def in_the_inbox(scene: LedgerScene, *ids: str) -> list[str]:
    events = [an_event(each) for each in ids]
    await scene.ledger.inbox.accept(events)
    return [event.ref for event in events]


async def test_an_event_that_cannot_be_opened_is_rejected_after_five_tries_and_its_neighbours_are_opened_at_once(
    scene: LedgerScene,
) -> None:
    await scene.register(LANE)
    before, bad, after = refs = await in_the_inbox(scene, "before", "bad", "after")
    await damaged(scene, f"job:{job_id(bad, LANE)}")
    dispatch = dispatch_of(scene.ledger)

    await dispatch.observe(refs)
    status = await scene.ledger.status.read()
    assert (status.inbox, status.pending, status.counter("matched")) == (1, 2, 2)
    assert {claim.event_ref for claim in await scene.claim(LANE)} == {before, after}

    for _ in range(OBSERVE_TRIES - 2):
        await dispatch.observe(refs)
    assert await scene.ledger.inbox.rejected(10) == []
    await dispatch.observe(refs)
    (rejected,) = await scene.ledger.inbox.rejected(10)
    assert (rejected.reason.startswith("could not be opened: WRONGTYPE"), "bad" in rejected.given) == (True, True)
    status = await scene.ledger.status.read()
    assert (status.inbox, status.counter("set_aside"), status.events_balance, status.jobs_balance) == (0, 1, 0, 0)


async def test_what_fails_for_a_whole_chunk_is_the_trouble_of_one_event(scene: LedgerScene) -> None:
    """Of a damaged lane, it cannot even be asked whether it fails."""
    await scene.register(LANE)
    await scene.register("i-2", observes=("order.created",))
    good, bad, late = an_event("good"), an_event("bad", type="order.created"), an_event("late")
    dispatch = dispatch_of(scene.ledger)
    # The integrations are read.
    await dispatch.observe(await in_the_inbox(scene, "first"))
    await scene.key("RENAME", "lane:i-2", raw.key(scene.ledger, "parked"))
    await damaged(scene, "lane:i-2")

    await scene.ledger.inbox.accept([good, bad, late])
    for _ in range(OBSERVE_TRIES):
        await dispatch.observe([good.ref, bad.ref, late.ref])
    (rejected,) = await scene.ledger.inbox.rejected(10)
    assert (rejected.source, "WRONGTYPE" in rejected.reason) == (f"event {bad.ref}", True)
    assert {claim.event_ref for claim in await scene.claim(LANE)} >= {good.ref, late.ref}
    assert (await scene.ledger.status.read()).inbox == 0
    await raw.client(scene.ledger).rename(raw.key(scene.ledger, "parked"), raw.key(scene.ledger, "lane:i-2"))


async def test_a_damaged_lane_keeps_no_other_from_what_it_is_owed_first(scene: LedgerScene) -> None:
    await scene.register(LANE, "i-2")
    (ref,) = await in_the_inbox(scene, "e-1")
    (stored,) = (await scene.ledger.inbox.load([ref])).events
    await damaged(scene, "lane:i-2:due")
    claims, _ = await scene.open([stored], LANE, "i-2", room=1)
    assert [claim.integration_id for claim in claims] == [LANE]
    assert (await scene.ledger.status.read()).inbox == 1
    await scene.key("DEL", "lane:i-2:due")
    # Mended, it goes on where it was.
    await scene.open([stored], LANE, "i-2")
    assert [claim.integration_id for claim in await scene.claim(LANE, "i-2")] == ["i-2"]


async def test_an_event_of_many_chunks_stays_in_the_inbox_where_its_first_one_fails(scene: LedgerScene) -> None:
    """Its last one would take it out, and what the first one owes would be owed to nobody."""
    lanes = [f"i-{n}" for n in range(JOBS_PER_CALL + 2)]
    await scene.register(*lanes)
    (ref,) = await in_the_inbox(scene, "e-1")
    dispatch = dispatch_of(scene.ledger)
    first = (await scene.ledger.integrations.refresh(Snapshot(SCOPE))).matching("order.paid")[0]
    await damaged(scene, f"job:{job_id(ref, first)}")
    await dispatch.observe([ref])
    assert (await scene.ledger.status.read()).inbox == 1
    await scene.key("DEL", f"job:{job_id(ref, first)}")
    await dispatch.observe([ref])
    status = await scene.ledger.status.read()
    assert (status.inbox, status.pending) == (0, len(lanes))


@pytest.mark.parametrize(("key", "lanes"), [("event:{ref}:jobs", (LANE, "i-2")), ("jobs:{lane}", (LANE,))])
@pytest.mark.parametrize("room", [0, 1])
async def test_an_opening_that_fails_half_way_owes_nothing_yet(
    scene: LedgerScene, key: str, lanes: tuple[str, ...], room: int
) -> None:
    await scene.register(*lanes)
    (ref,) = await in_the_inbox(scene, "e-1")
    (stored,) = (await scene.ledger.inbox.load([ref])).events
    name = key.format(ref=ref, lane=LANE)
    await scene.key("RPUSH", name, "damaged")
    assert await scene.open([stored], *lanes, room=room) == ([], [])
    assert (await scene.ledger.status.read()).pending == await scene.counter("opened") == 0

    await scene.key("DEL", name)
    assert await scene.ledger.outbox.jobs_of(ref) == []
    claims, _ = await scene.open([stored], *lanes, room=room)
    assert (len(claims), await scene.counter("opened")) == (room, len(lanes))
    assert await scene.ledger.outbox.jobs_of(ref) == [job_id(ref, lane) for lane in lanes]
