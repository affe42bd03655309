"""Out of the inbox: jobs opened, or not."""

import asyncio

import pytest
from structlog.testing import capture_logs

from config.observable_events import load_catalogue
from tests.ledger import inspection, raw
from tests.ledger.scene import HOUR, LedgerScene, dispatch_of, replies_lost
from tests.ledger.surgery import garble_event
from tests.samples import SCOPE, an_event, an_integration
from worker.delivery.fan_outs import LANES_PER_CHUNK
from worker.domain.event import Event, Refusal, Scope
from worker.domain.event_parser import EventRules, parse_event
from worker.domain.job import JobState, job_id
from worker.ledger import Verdict
from worker.ledger.events.inbox import OBSERVE_TRIES, rejection


async def test_a_match_opens_one_job_which_is_due_at_once(scene: LedgerScene) -> None:
    await scene.register("i-1")
    (stored,) = await scene.publish("e-1")
    claims, waiting = await scene.open([stored], "i-1")

    assert (claims, waiting) == ([], ["i-1"])
    job = await scene.job(job_id(stored.ref, "i-1"))
    assert (job.state, job.attempts, job.epoch) == (JobState.PENDING, 0, 0)
    assert (job.event_id, job.event_type, job.integration_id) == ("e-1", "order.paid", "i-1")
    assert job.due_at == job.opened_at
    assert await scene.jobs_of(stored.ref) == [job.id]
    assert (await scene.ledger.jobs.of_integration("i-1", 0, 10)).items == [job]
    assert await scene.ledger.jobs.pending(0, 10) == [job.id]


async def test_where_there_is_room_a_job_is_claimed_as_it_is_opened(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    (stored,) = await scene.publish("e-1")
    (claim,), waiting = await scene.open([stored], "i-1", "i-2", room=1)

    assert (claim.integration_id, claim.attempt, claim.event) == ("i-1", 1, stored)
    assert (claim.revision, claim.scope_key) == (1, SCOPE.key)
    assert waiting == ["i-2"]
    assert (await scene.ledger.status.read()).processes == 1
    await scene.settle(claim, Verdict.SUCCEEDED)


async def test_a_job_waits_behind_those_that_are_due_already(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "first")
    stored = await scene.publish("second")
    assert await scene.open(stored, "i-1", room=10) == ([], ["i-1"])


async def test_a_job_overtakes_those_that_are_due_only_later(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "first")
    (claim,) = await scene.claim("i-1")
    await scene.settle(claim, Verdict.RETRY, delay=HOUR)
    (claim,), _ = await scene.open(await scene.publish("second"), "i-1", room=10)
    await scene.settle(claim, Verdict.SUCCEEDED)


async def test_opening_stops_at_the_lanes_cap_and_the_rest_waits(scene: LedgerScene) -> None:
    await scene.register("i-1")
    stored = await scene.publish(*(f"e-{n}" for n in range(15)))
    claims, waiting = await scene.open(stored, "i-1", room=100)
    assert (len(claims), waiting) == (10, ["i-1"])


async def test_opening_does_not_start_on_a_lane_that_rests(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.owe("i-1", "e-1")
    (claim,) = await scene.claim("i-1")
    await scene.settle(claim, Verdict.RETRY, delay=HOUR, rest=HOUR)
    claims, _ = await scene.open(await scene.publish("e-2"), "i-1", room=10)
    assert claims == []


async def test_a_late_or_doubled_open_does_nothing(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    stored = await scene.publish("e-1")
    await scene.open(stored, "i-1")
    before = await scene.contents()

    assert await scene.open(stored, "i-1", room=10) == ([], [])
    assert await scene.open(stored, "i-2", room=10) == ([], [])
    after = await scene.contents()
    assert (after.jobs, after.counters) == (before.jobs, before.counters)


async def test_a_chunk_that_is_repeated_opens_nothing_twice(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    stored = await scene.publish("e-1")
    (claim,), _ = await scene.open(stored, "i-1", room=1, last=False)
    await scene.settle(claim, Verdict.SUCCEEDED)

    assert await scene.open(stored, "i-1", room=1, last=False) == ([], [])
    assert await scene.counter("opened") == 1
    assert (await scene.state(claim.job_id))[0] is JobState.SUCCEEDED


async def test_an_event_leaves_the_inbox_with_its_last_chunk(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    stored = await scene.publish("e-1")
    await scene.open(stored, "i-1", last=False)
    status = await scene.ledger.status.read()
    assert (status.inbox, status.counter("matched"), status.events_balance) == (1, 0, 0)

    await scene.open(stored, "i-2", last=True)
    status = await scene.ledger.status.read()
    assert (status.inbox, status.counter("matched"), status.pending) == (0, 1, 2)
    assert (await scene.ledger.inbox.load([stored[0].ref])).events == ()


async def test_a_chunk_that_is_not_the_last_puts_off_the_announcement_of_its_event(scene: LedgerScene) -> None:
    """So that no other process opens the same chunks while this one is busy with a large fan-out."""
    await scene.register("i-1", "i-2")
    (stored,) = await scene.publish("e-1")
    await scene.key("ZADD", "inbox", 1, stored.ref)
    await scene.open([stored], "i-1", last=False)
    assert (await scene.ledger.fleet.sweep()).events == []

    await scene.open([stored], "i-2", last=True)
    await scene.open([stored], "i-1", last=False)
    assert await scene.key("ZCARD", "inbox") == 0


async def test_observers_of_the_same_event_in_one_process_open_each_chunk_once(scene: LedgerScene) -> None:
    lanes = [f"i-{number}" for number in range(2 * LANES_PER_CHUNK + 1)]
    await scene.register(*lanes)
    await scene.ledger.inbox.accept([event := an_event("e-1")])
    dispatch = dispatch_of(scene.ledger)
    with inspection.script_calls(scene.ledger) as calls:
        await asyncio.gather(dispatch.observe([event.ref]), dispatch.observe([event.ref, event.ref]))
    assert calls.count("open") == 3
    assert await scene.counter("opened") == len(lanes)
    status = await scene.ledger.status.read()
    assert (status.inbox, status.counter("matched")) == (0, 1)


async def test_an_interrupted_fan_out_goes_on_where_it_stopped(scene: LedgerScene) -> None:
    lanes = [f"i-{number}" for number in range(6 * LANES_PER_CHUNK)]
    await scene.register(*lanes)
    await scene.ledger.inbox.accept([event := an_event("e-1")])
    another = await scene.another()
    first, second = dispatch_of(scene.ledger), dispatch_of(another)

    def stopping(run: raw.Run) -> raw.Run:
        async def stops(name: str, **arguments: object) -> object:
            answer = await run(name, **arguments)
            if name == "open" and calls.count("open") == 2:
                first.stop()
            return answer

        return stops

    with inspection.script_calls(scene.ledger) as calls, raw.intercepted(scene.ledger, stopping):
        await first.observe([event.ref])
    assert calls.count("open") == 2
    assert (await scene.ledger.fleet.sweep()).events, "others are to go on with it at once"

    # Half of its jobs have even ended meanwhile.
    for claim in await scene.claim(*lanes[:LANES_PER_CHUNK]):
        await scene.settle(claim, Verdict.SUCCEEDED)
    with inspection.script_calls(another) as calls:
        await second.observe([event.ref])
    assert calls.count("open") == 4
    assert await scene.counter("opened") == len(lanes)
    status = await scene.ledger.status.read()
    assert (status.inbox, status.counter("matched")) == (0, 1)


async def test_a_fan_out_that_was_interrupted_before_its_end_was_noted_ends(scene: LedgerScene) -> None:
    """All its jobs are open, and the integrations of the last chunk were deleted."""
    await scene.register("i-1")
    (stored,) = await scene.publish("e-1")
    await scene.open([stored], "i-1", last=False)
    await dispatch_of(scene.ledger).observe([stored.ref])
    status = await scene.ledger.status.read()
    assert (status.inbox, status.counter("matched"), status.counter("unmatched")) == (0, 1, 0)
    assert await scene.counter("opened") == 1


async def test_an_event_whose_list_of_jobs_is_damaged_does_not_keep_the_others_from_being_observed(
    scene: LedgerScene,
) -> None:
    await scene.register("i-1", "i-2")
    damaged, other = await scene.publish("damaged", "other")
    await scene.open([damaged], "i-1", last=False)
    key = f"event:{damaged.ref}:jobs"
    await scene.key("SET", key, b"\xff\x00 not ids")
    await dispatch_of(scene.ledger).observe([damaged.ref, other.ref])
    assert len(await scene.jobs_of(other.ref)) == 2
    assert await scene.counter("opened") == 4
    await scene.key("SET", key, job_id(damaged.ref, "i-2"))


async def test_a_small_event_of_another_store_is_opened_before_a_large_one_is_done(scene: LedgerScene) -> None:
    small = Scope("org", "small")
    await scene.register(*(f"i-{number}" for number in range(20 * LANES_PER_CHUNK)))
    await scene.register("small", scope=small)
    events = [an_event("large"), an_event("small", scope=small)]
    await scene.ledger.inbox.accept(events)
    dispatch = dispatch_of(scene.ledger)
    large = asyncio.create_task(dispatch.observe([events[0].ref]))
    await asyncio.create_task(dispatch.observe([events[1].ref]))
    assert not large.done()
    await large
    assert await scene.counter("opened") == 20 * LANES_PER_CHUNK + 1


async def test_a_message_does_not_wait_for_a_large_fan_out_and_a_stop_does(scene: LedgerScene) -> None:
    await scene.register("i-1")
    await scene.ledger.inbox.accept([event := an_event("e-1")])
    dispatch, opens = dispatch_of(scene.ledger), asyncio.Event()

    def holding(run: raw.Run) -> raw.Run:
        async def held(name: str, **arguments: object) -> object:
            if name == "open":
                await opens.wait()
            return await run(name, **arguments)

        return held

    with raw.intercepted(scene.ledger, holding):
        await dispatch.begin([event.ref])
        assert await scene.counter("opened") == 0
        stop = asyncio.create_task(dispatch.wait_until_idle(HOUR))
        opens.set()
        await stop
    assert await scene.counter("opened") == 1


async def test_an_observer_whose_ledger_is_away_leaves_its_events_in_the_inbox(scene: LedgerScene) -> None:
    await scene.ledger.inbox.accept([event := an_event("e-1")])
    dispatch = dispatch_of(scene.ledger)
    with replies_lost(scene.ledger), capture_logs() as logs:
        await dispatch.begin([event.ref])
        await dispatch.wait_until_idle(HOUR)
    assert [each["event"] for each in logs] == ["observed later"]
    await dispatch.begin([event.ref])
    await dispatch.wait_until_idle(HOUR)
    assert await scene.counter("unmatched") == 1


async def test_a_job_that_ends_between_two_chunks_does_not_end_the_event(scene: LedgerScene) -> None:
    await scene.register("i-1", "i-2")
    stored = await scene.publish("e-1")
    (claim,), _ = await scene.open(stored, "i-1", room=1, last=False)
    await scene.settle(claim, Verdict.SUCCEEDED)
    await scene.retention_passes()
    assert await scene.is_kept(stored[0].ref)

    await scene.open(stored, last=True)
    await scene.retention_passes()
    assert not await scene.is_kept(stored[0].ref)
    assert await scene.counter("matched") == 1


async def test_an_event_that_nobody_observes_is_unmatched_and_kept_for_a_while(scene: LedgerScene) -> None:
    stored = await scene.publish("e-1")
    await scene.open(stored)
    status = await scene.ledger.status.read()
    assert (status.inbox, status.counter("unmatched"), status.pending) == (0, 1, 0)
    assert await scene.ledger.fleet.forget() == 0
    assert await scene.is_kept(stored[0].ref)
    await scene.retention_passes()
    assert not await scene.is_kept(stored[0].ref)


async def test_an_integration_that_was_disabled_since_the_match_gets_no_job(scene: LedgerScene) -> None:
    await scene.register("by a person", "by the worker", "enabled")
    stored = await scene.publish("e-1")
    await scene.ledger.integrations.put(an_integration("by a person", enabled=False))
    await scene.give_up("by the worker")
    await scene.open(stored, "by a person", "by the worker", "enabled")
    assert await scene.jobs_of(stored[0].ref) == [job_id(stored[0].ref, "enabled")]


async def test_an_integration_that_was_deleted_since_the_match_gets_no_job(scene: LedgerScene) -> None:
    await scene.register("deleted", "deleted and emptied")
    stored = await scene.publish("e-1")
    await scene.ledger.integrations.delete("deleted and emptied")
    await scene.ledger.fleet.expire()
    await scene.ledger.integrations.delete("deleted")
    await scene.open(stored, "deleted", "deleted and emptied", "that never was", room=10)
    assert await scene.jobs_of(stored[0].ref) == []
    assert await scene.counter("unmatched") == 1


async def test_only_events_still_in_the_inbox_are_loaded(scene: LedgerScene) -> None:
    await scene.register("i-1")
    observed, waiting = await scene.publish("observed", "waiting")
    await scene.open([observed], "i-1")
    loaded = await scene.ledger.inbox.load([observed.ref, waiting.ref, "no-such-event", waiting.ref])
    assert [each.ref for each in loaded.events] == [waiting.ref]
    version = int(await scene.key("HGET", f"scope:{SCOPE.key}", "version"))
    assert loaded.versions == {SCOPE.key: version}


async def test_loading_puts_off_the_next_announcement(scene: LedgerScene) -> None:
    (stored,) = await scene.publish("e-1")
    await scene.key("ZADD", "inbox", 1, stored.ref)
    await scene.ledger.inbox.load([stored.ref])
    assert (await scene.ledger.fleet.sweep()).events == []


async def test_an_inbox_entry_whose_event_is_gone_is_set_aside(scene: LedgerScene) -> None:
    (stored,) = await scene.publish("e-1")
    await scene.key("DEL", f"event:{stored.ref}")
    assert (await scene.ledger.inbox.load([stored.ref])).events == ()
    status = await scene.ledger.status.read()
    assert (status.inbox, status.counter("set_aside"), status.events_balance) == (0, 1, 0)


async def test_an_event_is_set_aside_after_five_failures_and_kept_to_be_looked_at(scene: LedgerScene) -> None:
    (stored,) = await scene.publish("e-1")
    done = []
    pauses = []
    for _ in range(OBSERVE_TRIES):
        pauses.append(round((await scene.key_score("inbox", stored.ref) - await raw.now(scene.ledger)) / 1000))
        done.append(await scene.set_aside(stored, "could not be observed: ValueError: no"))
        # Each try waits longer for its turn: a failure announces nothing.
        assert (await scene.ledger.fleet.sweep()).events == []

    assert done == [False] * (OBSERVE_TRIES - 1) + [True]
    assert pauses == [2, 2, 4, 6, 8]
    (entry,) = await scene.ledger.inbox.rejected(10)
    assert (entry.reason, entry.at) == ("could not be observed: ValueError: no", 5)
    assert stored.ref in entry.source
    assert entry.given == stored.event.raw.decode()
    status = await scene.ledger.status.read()
    assert (status.inbox, status.counter("set_aside"), status.rejected) == (0, 1, 1)
    # Once more is no more.
    assert not await scene.set_aside(stored)
    assert await scene.counter("set_aside") == 1
    assert await scene.is_kept(stored.ref)
    await scene.retention_passes()
    assert not await scene.is_kept(stored.ref)


async def test_an_event_that_is_set_aside_half_opened_lives_as_long_as_its_jobs(scene: LedgerScene) -> None:
    await scene.register("i-1")
    (stored,) = await scene.publish("e-1")
    await scene.open([stored], "i-1", last=False)
    for _ in range(OBSERVE_TRIES):
        await scene.set_aside(stored)
    await scene.retention_passes()
    (claim,) = await scene.claim("i-1")
    assert claim.event == stored
    await scene.settle(claim, Verdict.SUCCEEDED)
    await scene.retention_passes()
    assert not await scene.is_kept(stored.ref)


async def test_the_rejected_list_is_bounded_and_has_the_newest_first(scene: LedgerScene) -> None:
    small = await scene.another(rejected_cap=3)
    for n in range(5):
        await small.inbox.reject([rejection("type", f"reason {n}", b"\xff given", n, "s")])
    entries = await small.inbox.rejected(100)
    assert [each.reason for each in entries] == ["reason 4", "reason 3", "reason 2"]
    assert entries[0].given == "� given"
    assert await scene.counter("rejected") == 5

    (stored,) = await scene.publish("e-1")
    for _ in range(OBSERVE_TRIES):
        await scene.set_aside(stored, "set aside", by=small)
    assert [each.reason for each in await small.inbox.rejected(100)] == ["set aside", "reason 4", "reason 3"]


async def test_a_rejected_list_of_no_entries_keeps_none_and_counts_them(scene: LedgerScene) -> None:
    await scene.ledger.inbox.reject([rejection("", "kept before", b"g", 1, "s")])
    none = await scene.another(rejected_cap=0)
    await none.inbox.reject([rejection("", "not kept", b"g", 2, "s")])
    assert await none.inbox.rejected(100) == []
    assert await scene.counter("rejected") == 2


async def test_of_what_was_rejected_only_the_beginning_is_kept(scene: LedgerScene) -> None:
    await scene.ledger.inbox.reject([rejection("", "too large", b"x" * 1_000_000, 1, "s")])
    (entry,) = await scene.ledger.inbox.rejected(1)
    assert len(entry.given) == 16 * 1024


async def test_what_was_accepted_can_be_loaded_by_a_worker_that_is_deeper_in_its_own_calls(scene: LedgerScene) -> None:
    """Otherwise one such event would stop the observation of all that are loaded with it, again and again."""
    deep = deepest_accepted()
    await scene.ledger.inbox.accept([an_event("neighbour"), deep])

    async def load(frames: int) -> list[str]:
        if frames:
            return await load(frames - 1)
        loaded = await scene.ledger.inbox.load([an_event("neighbour").ref, deep.ref])
        return [each.ref for each in loaded.events]

    assert await load(100) == [an_event("neighbour").ref, deep.ref]


def deepest_accepted() -> Event:
    """The event of the deepest nesting that a producer on a shallow stack gets accepted."""
    rules = EventRules(load_catalogue())

    def parsed(depth: int) -> Event | Refusal:
        return parse_event(b'{"type":"order.paid","data":{"x":' + b"[" * depth + b"]" * depth + b"}}", rules)

    low, high = 1, 100_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if isinstance(parsed(middle), Event) else (low, middle)
    found = parsed(low)
    assert isinstance(found, Event)
    return found


async def test_an_event_that_cannot_be_read_is_distinguished_from_its_neighbours(scene: LedgerScene) -> None:
    good, bad = await scene.publish("good", "bad")
    left = await garble_event(scene.ledger, bad.ref)
    loaded = await scene.ledger.inbox.load([bad.ref, good.ref])
    assert loaded.events == (good,)
    assert loaded.unreadable == ((bad.ref, left),)


@pytest.mark.parametrize("room", [0, 5])
async def test_one_call_opens_for_several_events(scene: LedgerScene, room: int) -> None:
    await scene.register("i-1", "i-2")
    stored = await scene.publish("e-1", "e-2", "e-3")
    claims, _ = await scene.open(stored, "i-1", "i-2", room=room)
    assert len(claims) == room
    status = await scene.ledger.status.read()
    assert (status.counter("matched"), status.pending) == (3, 6)


class TestAnIdThatComesAgain:
    """Redis may lose the record of an event and keep that of its job."""

    async def test_after_its_event_was_forgotten_is_owed_anew_although_the_old_job_is_remembered(
        self, scene: LedgerScene
    ) -> None:
        await scene.register("i-1")
        (job,) = await scene.owe("i-1", "e-1")
        (claim,) = await scene.claim("i-1")
        await scene.settle(claim, Verdict.FAILED)
        await _forget_event(scene, "e-1")

        (stored,) = await scene.publish("e-1")
        assert await scene.open([stored], "i-1", room=1) == ([], ["i-1"])
        (again,) = await scene.claim("i-1")

        # The schedule begins anew, and the numbers go on: the old attempts have their logs still.
        assert (again.job_id, again.attempt, again.base, again.epoch, again.event) == (job, 2, 1, 1, stored)
        assert [log.attempt for log in (await scene.ledger.logs.of_job(job, 0, 2)).items] == [1]
        assert await scene.state(job) == (JobState.PENDING, "")
        assert await scene.jobs_of(stored.ref) == [job]
        await scene.settle(again, Verdict.SUCCEEDED)
        assert await scene.state(job) == (JobState.SUCCEEDED, "")
        assert [await scene.counter(name) for name in ("opened", "failed", "succeeded")] == [2, 1, 1]

    @pytest.mark.parametrize("verdict", [Verdict.SUCCEEDED, Verdict.RETRY])
    async def test_within_its_events_time_opens_nothing_twice(self, scene: LedgerScene, verdict: Verdict) -> None:
        await scene.register("i-1", "i-2")
        (stored,) = await scene.publish("e-1")
        (claim,), _ = await scene.open([stored], "i-1", room=1, last=False)
        await scene.settle(claim, verdict, delay=HOUR)
        # The message came twice, and its second half only now.
        assert await scene.open([stored], "i-1", "i-2") == ([], ["i-2"])
        assert await scene.counter("opened") == 2

    async def test_opens_what_was_missed_of_the_new_event_too(self, scene: LedgerScene) -> None:
        await scene.register("i-1")
        (job,) = await scene.owe("i-1", "e-1")
        (claim,) = await scene.claim("i-1")
        await scene.settle(claim, Verdict.SUCCEEDED)
        await _forget_event(scene, "e-1")
        await scene.disable("i-1")
        (stored,) = await scene.publish("e-1")
        await scene.open([stored], "i-1")
        assert await scene.state(job) == (JobState.SUCCEEDED, "")

        missed = [(job, stored.ref)]
        assert await scene.ledger.redelivery.open_missing("i-1", missed, dry_run=True) == (1, False)
        assert await scene.state(job) == (JobState.SUCCEEDED, "")
        assert await scene.ledger.redelivery.open_missing("i-1", missed) == (1, False)
        assert await scene.state(job) == (JobState.PENDING, "")
        assert await scene.ledger.redelivery.open_missing("i-1", missed) == (0, False)


async def _forget_event(scene: LedgerScene, event_id: str) -> None:
    """Redis loses the event, and not its job."""
    await scene.key("DEL", f"event:{an_event(event_id).ref}")


class TestAnIdThatComesAgainAfterRetention:
    @pytest.mark.parametrize("failures", [0, 1, 3])
    async def test_continues_the_numbers_of_attempts_so_that_no_log_is_overwritten(
        self, scene: LedgerScene, failures: int
    ) -> None:
        await scene.register("i-1")
        (job,) = await scene.owe("i-1", "e-1")
        for _ in range(failures):
            (claim,) = await scene.claim("i-1")
            await scene.settle(claim, Verdict.RETRY, detail="the first time")
        (claim,) = await scene.claim("i-1")
        await scene.settle(claim, Verdict.SUCCEEDED)
        await scene.retention_passes()
        assert await scene.ledger.jobs.get([job]) == []

        await scene.owe("i-1", "e-1")
        (again,) = await scene.claim("i-1")
        tried = failures + 1
        assert (again.job_id, again.attempt, again.base) == (job, tried + 1, tried)
        await scene.settle(again, Verdict.FAILED, detail="the second time")
        logs = (await scene.ledger.logs.of_job(job, 0, 10)).items
        assert [log.attempt for log in logs] == list(range(tried + 1, 0, -1))
        assert [log.error_detail for log in logs if log.attempt <= failures] == ["the first time"] * failures

    async def test_is_a_new_event_with_a_job_of_its_own(self, scene: LedgerScene) -> None:
        await scene.register("i-1")
        (job,) = await scene.owe("i-1", "e-1")
        (claim,) = await scene.claim("i-1")
        await scene.settle(claim, Verdict.SUCCEEDED)
        await scene.retention_passes()
        await scene.key("DEL", f"log:{job}:1")
        for index in (f"logs:store:{SCOPE.key}", "logs:integration:i-1"):
            await scene.key("DEL", index)

        (stored,) = await scene.publish("e-1")
        (again,), _ = await scene.open([stored], "i-1", room=1)
        # No log is left that could be overwritten.
        assert (again.job_id, again.attempt) == (job, 1)


@pytest.mark.parametrize("lanes", [(), ("i-1",), ("i-1", "i-2", "i-3")])
async def test_any_page_of_an_events_jobs_is_a_part_of_all(scene: LedgerScene, lanes: tuple[str, ...]) -> None:
    await scene.register("i-1", "i-2", "i-3")
    (stored,) = await scene.publish("e-1")
    for lane in lanes:
        await scene.open([stored], lane, last=False)
    jobs = [job_id(stored.ref, lane) for lane in lanes]
    for offset in range(5):
        for limit in range(1, 5):
            found = await scene.ledger.events.show(stored.ref, offset, limit)
            assert found is not None
            assert ([each.job.id for each in found.jobs], found.total) == (jobs[offset : offset + limit], len(jobs))
    await scene.open([stored], last=True)
    is_matched = await scene.counter("matched"), await scene.counter("unmatched")
    assert is_matched == ((1, 0) if lanes else (0, 1))


async def test_jobs_of_an_event_whose_record_is_lost_make_no_record_of_it(scene: LedgerScene) -> None:
    await scene.register("i-1")
    (stored,) = await scene.publish("e-1")
    await scene.key("DEL", f"event:{stored.ref}")
    await scene.open([stored], "i-1")
    assert await scene.key("EXISTS", f"event:{stored.ref}") == 0
    assert await scene.counter("opened") == 1
    assert await scene.ledger.outbox.jobs_of(stored.ref) == [job_id(stored.ref, "i-1")]
