"""The plain queue on Redis: a message becomes its events once, even if a process dies, freezes or answers late."""

import asyncio
from random import Random

import pytest

from tests.counterparts.redis_server import RedisServer
from tests.ledger import raw
from tests.ledger.scene import LedgerScene
from tests.samples import an_event
from tests.waiting import eventually
from worker.domain.event import Event
from worker.ledger import Acceptance, Ledger, LedgerFull
from worker.ledger.events.inbox import LOSSES_BEFORE_ALONE, rejection
from worker.ledger.events.intake_list import MESSAGE_TRIES, RETURNED_PER_CALL, SUSPECT_FOR, MessageBatch
from worker.ledger.key_names import INTAKE_LIST, intake_list


@pytest.fixture
async def other(scene: LedgerScene) -> Ledger:
    """Another process."""
    found: Ledger = await scene.another()
    return found


async def push(ledger: Ledger, *messages: str) -> None:
    """As a producer does."""
    await raw.client(ledger).execute_command("LPUSH", INTAKE_LIST, *messages)


async def waiting(ledger: Ledger) -> list[str]:
    """The queue, the next message first."""
    found = await raw.client(ledger).execute_command("LRANGE", INTAKE_LIST, 0, -1)
    return [each.decode() for each in reversed(found)]


def texts(batch: MessageBatch) -> list[str]:
    return [each.decode() for each in batch.messages]


def events_of(batch: MessageBatch) -> list[Event]:
    return [an_event(text) for text in texts(batch)]


async def accept(ledger: Ledger, batch: MessageBatch, done: int | None = None) -> list[Acceptance] | None:
    """The first messages of a batch, or all, as an event each."""
    done = len(batch.messages) if done is None else done
    return await ledger.intake_list.accept(batch, done, events_of(batch)[:done], [])


def test_a_shards_queue_is_named_after_it() -> None:
    assert (intake_list("0"), intake_list("eu-1")) == ("edw.intake", "edw.intake.eu-1")


async def test_what_was_pushed_first_is_taken_first_and_accepted_once(scene: LedgerScene) -> None:
    await push(scene.ledger, "a", "b")
    await push(scene.ledger, "c")
    batch = await scene.ledger.intake_list.take()
    assert texts(batch) == ["a", "b", "c"]
    assert await waiting(scene.ledger) == []

    assert await accept(scene.ledger, batch) == [Acceptance.NEW] * 3
    assert await accept(scene.ledger, batch) is None
    assert await scene.counter("accepted") == 3
    contents = await scene.contents()
    assert {"takers"} & set(contents.scores) == set()
    assert [name for name in contents.lists if name.startswith("intake")] == []


async def test_where_nothing_is_nothing_is_taken(scene: LedgerScene) -> None:
    assert await scene.ledger.intake_list.take() == MessageBatch(0, ())
    assert await scene.ledger.intake_list.give_back() == 0
    assert await scene.ledger.intake_list.return_dead() == 0
    assert (await scene.contents()).scores == {}


async def test_events_and_refusals_of_a_batch_are_kept_together(scene: LedgerScene) -> None:
    await push(scene.ledger, "a", "bad")
    batch = await scene.ledger.intake_list.take()
    entry = rejection("type", "is required", b"bad", 5, "test")
    assert await scene.ledger.intake_list.accept(batch, 2, [an_event("a")], [entry]) == [Acceptance.NEW]
    (kept,) = await scene.ledger.inbox.rejected(5)
    assert (kept.field, kept.given) == ("type", "bad")
    assert (await scene.counter("accepted"), await scene.counter("rejected")) == (1, 1)


async def test_the_rejected_list_stays_bounded(scene: LedgerScene) -> None:
    small = await scene.another(rejected_cap=2)
    await push(small, "bad")
    batch = await small.intake_list.take()
    entries = [rejection("", "r", str(n).encode(), 5, "test") for n in range(5)]
    assert await small.intake_list.accept(batch, 1, [], entries) == []
    assert [each.given for each in await small.inbox.rejected(5)] == ["4", "3"]
    assert await scene.counter("rejected") == 5


async def test_a_batch_may_be_accepted_in_parts(scene: LedgerScene) -> None:
    await push(scene.ledger, "a", "b", "c")
    batch = await scene.ledger.intake_list.take()
    assert await accept(scene.ledger, batch, 1) == [Acceptance.NEW]
    rest = batch.without(1)
    assert texts(rest) == ["b", "c"]
    assert await accept(scene.ledger, batch) is None
    assert await accept(scene.ledger, rest) == [Acceptance.NEW] * 2


async def test_a_lost_reply_loses_nothing_own_leftovers_come_first(scene: LedgerScene) -> None:
    await push(scene.ledger, "a", "b")
    lost = await scene.ledger.intake_list.take()
    await push(scene.ledger, "c")
    batch = await scene.ledger.intake_list.take()
    assert texts(batch) == ["a", "b", "c"]
    # A call that was thought lost, and comes late, does nothing.
    assert await accept(scene.ledger, lost) is None
    assert await accept(scene.ledger, batch) == [Acceptance.NEW] * 3


async def test_a_late_call_never_takes_another_batch_of_the_same_size_for_its_own(scene: LedgerScene) -> None:
    await push(scene.ledger, "a")
    first = await scene.ledger.intake_list.take()
    again = await scene.ledger.intake_list.take()
    assert await accept(scene.ledger, again) == [Acceptance.NEW]
    await push(scene.ledger, "b")
    second = await scene.ledger.intake_list.take()
    assert await accept(scene.ledger, first) is None
    assert await accept(scene.ledger, again) is None
    assert await accept(scene.ledger, second) == [Acceptance.NEW]


async def test_a_call_takes_so_many_messages_and_about_so_many_bytes(
    scene: LedgerScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.ledger.events.intake_list.REPLY_BYTE_BUDGET", 1_000)
    await push(scene.ledger, *(f"{n}" for n in range(5)), *("x" * 600 for _ in range(4)))
    assert texts(await scene.ledger.intake_list.take(3)) == ["0", "1", "2"]
    assert [len(each) for each in (await scene.ledger.intake_list.take()).messages] == [1] * 5 + [600] * 2
    # What is there already counts, and is over the budget.
    assert len((await scene.ledger.intake_list.take()).messages) == 7


async def test_two_processes_share_the_queue_and_no_message(scene: LedgerScene, other: Ledger) -> None:
    await push(scene.ledger, "a", "b", "c")
    mine, theirs = await scene.ledger.intake_list.take(2), await other.intake_list.take(2)
    assert (texts(mine), texts(theirs)) == (["a", "b"], ["c"])
    assert await scene.ledger.intake_list.accept(theirs, 1, [], []) is None
    assert await accept(other, theirs) == [Acceptance.NEW]
    assert await accept(scene.ledger, mine) == [Acceptance.NEW] * 2


async def test_what_a_dead_process_had_taken_goes_back_in_its_old_order(scene: LedgerScene, other: Ledger) -> None:
    await push(scene.ledger, "a", "b", "c")
    theirs = await other.intake_list.take(2)
    assert await scene.ledger.intake_list.return_dead() == 0
    await scene.die(other)
    assert await scene.ledger.intake_list.return_dead() == 2
    assert await waiting(scene.ledger) == ["a", "b", "c"]

    mine = await scene.ledger.intake_list.take()
    assert await accept(scene.ledger, mine) == [Acceptance.NEW] * 3
    # It was frozen, and not dead.
    assert await accept(other, theirs) is None
    assert await scene.counter("accepted") == 3


async def test_a_process_that_left_the_fleet_is_dead_as_well(scene: LedgerScene, other: Ledger) -> None:
    await push(scene.ledger, "a")
    await other.intake_list.take()
    await other.fleet.retire()
    assert await scene.ledger.intake_list.return_dead() == 1
    assert await waiting(scene.ledger) == ["a"]


async def test_a_process_is_known_from_the_first_message_that_it_takes(scene: LedgerScene, other: Ledger) -> None:
    await push(scene.ledger, "a")
    batch = await other.intake_list.take()
    assert await scene.ledger.intake_list.return_dead() == 0
    assert await accept(other, batch) == [Acceptance.NEW]


async def test_after_an_absence_of_redis_nobody_is_dead(scene: LedgerScene, other: Ledger) -> None:
    await push(scene.ledger, "a")
    batch = await other.intake_list.take()
    await scene.die(other)
    await scene.key("SET", "swept", 1)
    await scene.ledger.fleet.seize()
    assert await scene.ledger.intake_list.return_dead() == 0
    assert await accept(other, batch) == [Acceptance.NEW]


async def test_a_large_batch_goes_back_in_several_calls_and_nothing_of_it_is_accepted_meanwhile(
    scene: LedgerScene, other: Ledger
) -> None:
    names = [f"m-{n:03}" for n in range(RETURNED_PER_CALL + 50)]
    await push(scene.ledger, *names)
    theirs = await other.intake_list.take(len(names))
    await scene.die(other)
    assert await scene.ledger.intake_list.return_dead() == RETURNED_PER_CALL
    assert await other.intake_list.accept(theirs, 1, [an_event("m-000")], []) is None
    assert (
        await other.intake_list.accept(MessageBatch(theirs.number, theirs.messages[:50]), 1, [an_event("m-000")], [])
        is None
    )
    assert await scene.ledger.intake_list.return_dead() == 50
    assert await waiting(scene.ledger) == names


async def test_a_process_that_stops_gives_back_what_it_has(scene: LedgerScene) -> None:
    names = [f"m-{n:03}" for n in range(RETURNED_PER_CALL * 2)]
    await push(scene.ledger, *names)
    batch = await scene.ledger.intake_list.take(len(names))
    assert await scene.ledger.intake_list.give_back() == len(names)
    assert await waiting(scene.ledger) == names
    assert await accept(scene.ledger, batch, 1) is None


async def test_one_who_waits_is_woken_by_a_message_which_anybody_may_take(scene: LedgerScene, other: Ledger) -> None:
    waiter = asyncio.create_task(other.intake_list.wait())
    await _blocked(scene.ledger, 1)
    await push(scene.ledger, "a", "b")
    await waiter
    # The one who was woken dies here.
    batch = await scene.ledger.intake_list.take()
    assert texts(batch) == ["a", "b"]
    assert await accept(scene.ledger, batch) == [Acceptance.NEW] * 2


async def test_one_who_waits_may_be_asked_to_stop(scene: LedgerScene) -> None:
    waiter = asyncio.create_task(scene.ledger.intake_list.wait())
    await _blocked(scene.ledger, 1)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await _blocked(scene.ledger, 0)
    await push(scene.ledger, "a")
    # Its connection is fit for another wait, which answers what it was asked.
    await scene.ledger.intake_list.wait()
    assert texts(await scene.ledger.intake_list.take()) == ["a"]


async def die_of(scene: LedgerScene, victim: Ledger, *messages: str) -> None:
    """The process takes these, the next of the queue, and is gone; another gives them back."""
    assert texts(await victim.intake_list.take()) == [*messages]
    await scene.die(victim)
    assert await scene.ledger.intake_list.return_dead() == len(messages)


async def test_messages_whose_takers_die_are_taken_alone_so_that_the_innocent_are_distinguished(
    scene: LedgerScene, other: Ledger
) -> None:
    await push(scene.ledger, "innocent", "deadly", "late")
    for _ in range(LOSSES_BEFORE_ALONE):
        await die_of(scene, other, "innocent", "deadly", "late")
    alone = await scene.ledger.intake_list.take()
    assert (texts(alone), alone.lost) == (["innocent"], LOSSES_BEFORE_ALONE)
    assert await accept(scene.ledger, alone) == [Acceptance.NEW]
    for lost in range(LOSSES_BEFORE_ALONE, MESSAGE_TRIES):
        batch = await other.intake_list.take()
        assert (texts(batch), batch.lost) == (["deadly"], lost)
        await scene.die(other)
        assert await scene.ledger.intake_list.return_dead() == 1
    assert (await scene.ledger.intake_list.take()).lost == MESSAGE_TRIES


async def test_a_suspect_message_waits_for_its_turn_behind_others(scene: LedgerScene, other: Ledger) -> None:
    await push(scene.ledger, "suspect")
    for _ in range(LOSSES_BEFORE_ALONE):
        await die_of(scene, other, "suspect")
    await raw.client(scene.ledger).execute_command("RPUSH", INTAKE_LIST, "before")
    await push(scene.ledger, "behind")
    seen = []
    while (batch := await scene.ledger.intake_list.take()).messages:
        seen.append(texts(batch))
        await accept(scene.ledger, batch)
    assert seen == [["before"], ["suspect"], ["behind"]]


async def test_what_was_accepted_is_suspect_no_more(scene: LedgerScene, other: Ledger) -> None:
    await push(scene.ledger, "a", "b")
    await die_of(scene, other, "a", "b")
    await push(scene.ledger, "new")
    first = await scene.ledger.intake_list.take()
    assert first.lost == 1
    assert await accept(scene.ledger, first, 1) == [Acceptance.NEW]
    assert await scene.key("HLEN", "lost-messages") == 1
    assert await accept(scene.ledger, first.without(1)) == [Acceptance.NEW] * 2
    await push(scene.ledger, "a")
    assert (await scene.ledger.intake_list.take()).lost == 0


async def test_messages_of_the_same_bytes_are_one_suspect_which_one_acceptance_acquits(
    scene: LedgerScene, other: Ledger
) -> None:
    same = ["same"] * (RETURNED_PER_CALL + 50)
    await push(scene.ledger, *same)
    for lost in range(1, LOSSES_BEFORE_ALONE + 1):
        await other.intake_list.take(len(same))
        await scene.die(other)
        while await scene.ledger.intake_list.return_dead():
            pass
        assert await scene.key("HVALS", "lost-messages") == [str(lost).encode()]
    alone = await scene.ledger.intake_list.take(len(same))
    assert texts(alone) == ["same"]
    await accept(scene.ledger, alone)
    assert len((await scene.ledger.intake_list.take(len(same))).messages) == len(same) - 1


async def test_nobody_is_suspect_because_a_process_stops(scene: LedgerScene, other: Ledger) -> None:
    await push(scene.ledger, "a")
    for _ in range(MESSAGE_TRIES):
        await other.intake_list.take()
        await other.intake_list.give_back()
    assert (await scene.ledger.intake_list.take()).lost == 0


async def test_what_is_suspect_is_forgotten_after_a_day(scene: LedgerScene, other: Ledger) -> None:
    await push(scene.ledger, "a")
    await die_of(scene, other, "a")
    assert 0 < await scene.key("PTTL", "lost-messages") <= SUSPECT_FOR


async def test_at_the_memory_limit_messages_can_be_taken_and_given_back_but_not_accepted(
    make_redis: type[RedisServer], scene: LedgerScene
) -> None:
    server = make_redis()
    # Above every water mark, so that the limit itself is met.
    full: Ledger = await scene.another(server.url, memory_high_water=100.0)
    dead: Ledger = await scene.another(server.url, memory_high_water=100.0)
    await push(full, "a", "b", "c")
    used = int((await raw.memory(full))["used_memory"])
    await raw.client(full).config_set("maxmemory", used - 64 * 1024)

    batch = await full.intake_list.take(1)
    with pytest.raises(LedgerFull, match="at its memory limit"):
        await accept(full, batch)
    assert await full.intake_list.give_back() == 1
    await dead.intake_list.take(2)
    await dead.fleet.retire()
    assert await full.intake_list.return_dead() == 2
    assert await waiting(full) == ["a", "b", "c"]

    await raw.client(full).config_set("maxmemory", 0)
    assert await accept(full, await full.intake_list.take()) == [Acceptance.NEW] * 3


async def test_above_the_water_mark_the_queue_keeps_what_it_has(
    make_redis: type[RedisServer], scene: LedgerScene
) -> None:
    server = make_redis()
    ledger: Ledger = await scene.another(server.url)
    await push(ledger, "a")
    used = int((await raw.memory(ledger))["used_memory"])
    await raw.client(ledger).config_set("maxmemory", int(used / 0.9))
    with pytest.raises(LedgerFull, match="% of its memory limit"):
        await ledger.intake_list.take()
    assert await waiting(ledger) == ["a"]


class Chance:
    """Three processes take, accept in parts or late, die, freeze and come back; producers go on pushing."""

    def __init__(self, scene: LedgerScene, ledgers: list[Ledger], random: Random) -> None:
        self.scene = scene
        self.ledgers = ledgers
        self.random = random
        self.held: list[tuple[Ledger, MessageBatch]] = []
        self.pushed = 0
        self.accepted: list[str] = []

    async def step(self) -> None:
        steps = [self.push, self.take, self.take, self.accept, self.accept, self.late, self.die, self.leave, self.wait]
        await self.random.choice(steps)(self.random.choice(self.ledgers))

    async def push(self, ledger: Ledger) -> None:
        count = self.random.randrange(1, 6)
        await push(ledger, *(f"m-{self.pushed + n}" for n in range(count)))
        self.pushed += count

    async def take(self, ledger: Ledger) -> None:
        batch = await ledger.intake_list.take(self.random.randrange(1, 6))
        if batch.messages:
            self.held.append((ledger, batch))

    async def accept(self, _: Ledger) -> None:
        if self.held:
            ledger, batch = self.held.pop()
            done = self.random.randrange(1, len(batch.messages) + 1)
            await self.offer(ledger, batch, done)
            if batch.without(done).messages:
                self.held.append((ledger, batch.without(done)))

    async def late(self, _: Ledger) -> None:
        """A call of earlier is carried out only now."""
        if self.held:
            ledger, batch = self.random.choice(self.held)
            await self.offer(ledger, batch, len(batch.messages))

    async def die(self, ledger: Ledger) -> None:
        await self.scene.die(ledger)
        await self.random.choice(self.ledgers).intake_list.return_dead()

    async def leave(self, ledger: Ledger) -> None:
        await ledger.intake_list.give_back()

    async def wait(self, ledger: Ledger) -> None:
        if await waiting(ledger):
            await ledger.intake_list.wait()

    async def offer(self, ledger: Ledger, batch: MessageBatch, done: int) -> None:
        # Ids that are new each time, as those of events that came without one: they would show what is taken twice.
        names = texts(batch)[:done]
        events = [an_event(f"{name}/{len(self.accepted)}") for name in names]
        if await ledger.intake_list.accept(batch, done, events, []) is not None:
            self.accepted += names


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_in_whatever_order_each_message_is_accepted_exactly_once(
    seed: int, scene: LedgerScene
) -> None:
    chance = Chance(scene, [scene.ledger, await scene.another(), await scene.another()], Random(seed))
    for _ in range(150):
        await chance.step()
    for ledger in chance.ledgers:
        await ledger.intake_list.give_back()
    while (rest := await scene.ledger.intake_list.take(10_000)).messages:
        await chance.offer(scene.ledger, rest, len(rest.messages))
    assert sorted(chance.accepted) == sorted(f"m-{n}" for n in range(chance.pushed))
    assert await scene.counter("accepted") == chance.pushed


async def _blocked(ledger: Ledger, count: int) -> None:
    """Until so many clients wait."""

    async def are_blocked() -> bool:
        return bool((await raw.client(ledger).info("clients"))["blocked_clients"] == count)

    await eventually(are_blocked, f"{count} clients wait")
