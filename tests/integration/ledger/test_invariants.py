"""The ledger under random operations in any order: after every step its sums are read and must balance.

Two of the three processes may be taken for dead (and then report late, or never), integrations come and go, messages
are doubled, deadlines pass. Nothing here depends on how long a step takes.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.counterparts.redis_server import RedisServer
from tests.ledger import raw
from tests.ledger.audit import LedgerContents
from tests.ledger.scene import HOUR, LedgerScene, replies_lost, settlement
from tests.samples import an_event, an_integration
from worker.domain.claim import Claim
from worker.domain.job import job_id
from worker.domain.stored_event import StoredEvent
from worker.ledger import Acceptance, Ledger, LedgerPolicy, LedgerUnavailable, Settlement, Verdict
from worker.ledger.lanes.claims import Opening

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class End:
    """How an attempt ends: what that means for its job, and whether it was lost with its worker."""

    verdict: Verdict
    lost: bool = False


SUCCEEDED, FAILED, RETRY, LOST = ENDS = (
    End(Verdict.SUCCEEDED),
    End(Verdict.FAILED),
    End(Verdict.RETRY),
    End(Verdict.RETRY, lost=True),
)


def settled_as(claim: Claim, end: End, **how: Any) -> Settlement:
    return settlement(claim, end.verdict, lost=end.lost, **how)


LANES = ("i-0", "i-1", "i-2")
EVENTS = 12
# A slow machine must not let leases run out; the steps end them.
POLICY = LedgerPolicy(lane_cap=2, lane_backlog=3, lease=3_600_000)

owners = st.integers(0, 2)
#: Picks one of what there is then, whatever that is.
picks = st.integers(0, 11)
several = st.lists(picks, min_size=1, max_size=4)
lane_names = st.sampled_from(LANES)
some_lanes = st.lists(lane_names, min_size=1, max_size=3, unique=True)
delays = st.sampled_from([0.0, 0.0, HOUR])
rests = st.sampled_from([0.0, 0.0, 0.0, HOUR])
verdicts = st.sampled_from([*ENDS, RETRY, RETRY, SUCCEEDED])


@dataclass(frozen=True)
class Token:
    """An attempt that a process has in its hands."""

    owner: int
    claim: Claim
    seized: bool = False


async def empty(ledger: Ledger) -> None:
    """No key is left."""
    await raw.client(ledger).flushall()


class LedgerMachine(RuleBasedStateMachine):
    """Three processes, three lanes, a dozen events."""

    def __init__(self, loop: asyncio.Runner, ledgers: list[Ledger]) -> None:
        super().__init__()
        self.loop = loop
        self.ledgers = ledgers
        self.scene = LedgerScene(ledgers[0], lambda: ledgers[0])
        self.published: dict[str, bytes] = {}
        self.refs: list[str] = []
        #: In the hands of processes that are alive.
        self.tokens: list[Token] = []
        #: In the hands of processes that were taken for dead and are not.
        self.late: list[Token] = []
        #: (job, epoch) of which a success was reported.
        self.succeeded: set[tuple[str, str]] = set()
        self.do(empty(ledgers[0]))
        self.contents = self.do(self.scene.contents())
        for lane in LANES:
            self.do(self.scene.register(lane))

    def do(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return self.loop.run(work)

    # --- producers and observers

    @initialize(events=st.integers(2, 5), room=st.integers(0, 4))
    def begin(self, events: int, room: int) -> None:
        """Without something to do, most orders of steps would say nothing."""
        for number in range(events):
            self.publish(number, b"{}", number % 3)
        self.contents = self.do(self.scene.contents())
        self.observe(0, list(LANES), room, last=True, doubled=False)

    @rule(number=st.integers(0, EVENTS - 1), data=st.sampled_from([b"{}", b"{}", b'{"other":1}']), by=owners)
    def publish(self, number: int, data: bytes, by: int) -> None:
        event = an_event(f"e-{number}", data=data)
        (answer,) = self.do(self.ledgers[by].inbox.accept([event]))
        first = self.published.setdefault(event.id, data)
        if event.ref not in self.refs:
            assert answer is Acceptance.NEW
            self.refs.append(event.ref)
        else:
            assert answer is (Acceptance.DUPLICATE if first == data else Acceptance.DIFFERS)

    @rule(by=owners, lanes=some_lanes, room=st.integers(0, 4), last=st.booleans(), doubled=st.booleans())
    def observe(self, by: int, lanes: list[str], room: int, last: bool, doubled: bool) -> None:
        """With a match that may be out of date: some of the lanes are disabled or gone."""
        stored = self.do(self.ledgers[by].inbox.load(self.refs)).events
        opened = self.do(self._open(by, stored, lanes, room, last))
        assert len(opened) <= room
        assert {claim.attempt for claim in opened} <= {1}
        assert not {claim.job_id for claim in opened} & set(self.contents.jobs)
        self._take(by, opened)
        if doubled:
            assert self.do(self._open(by, stored, lanes, room, last)) == []

    async def _open(
        self, by: int, stored: tuple[StoredEvent, ...], lanes: list[str], room: int, last: bool
    ) -> list[Claim]:
        given = [(each, [Opening(job_id(each.ref, lane), lane) for lane in lanes], last) for each in stored]
        return list((await self.ledgers[by].jobs.open(given, room)).claims)

    @rule(pick=picks, by=owners)
    def fail_to_observe(self, pick: int, by: int) -> None:
        inbox = sorted(self.contents.scores.get("inbox", ()))
        if inbox:
            (stored,) = self.do(self.ledgers[by].inbox.load([inbox[pick % len(inbox)]])).events
            self.do(self.scene.set_aside(stored, by=self.ledgers[by]))

    # --- deliveries

    @rule(by=owners, lanes=some_lanes, room=st.integers(1, 4))
    def claim(self, by: int, lanes: list[str], room: int) -> None:
        claims = self.do(self.scene.claim(*lanes, room=room, by=self.ledgers[by]))
        assert [claim.integration_id for claim in claims] == self._claimable(lanes, room)
        for claim in claims:
            before = self.contents.jobs[claim.job_id]
            # Invariant 2: nobody else had it.
            assert before["owner"] == ""
            assert claim.attempt == int(before["attempts"]) + 1
        self._take(by, claims)

    def _claimable(self, lanes: list[str], room: int) -> list[str]:
        found: list[str] = []
        for lane in lanes:
            policy = self.contents.hashes.get(f"lane:{lane}", {"hold": "gone"})
            due = [
                score
                for score in self.contents.scores.get(f"lane:{lane}:due", {}).values()
                if score <= self.contents.now
            ]
            if policy["hold"] or int(policy.get("rest_until", 0)) > self.contents.now:
                continue
            free = POLICY.lane_cap - len(self.contents.sets.get(f"lane:{lane}:leased", ()))
            found += [lane] * max(0, min(room - len(found), free, len(due)))
        return found

    def _take(self, by: int, claims: list[Claim], seized: bool = False) -> None:
        self.tokens += [Token(by, claim, seized) for claim in claims]

    @rule(
        by=owners,
        lanes=st.permutations(LANES),
        room=st.integers(1, 6),
        ends=st.lists(verdicts | st.none(), min_size=6, max_size=6),
        delay=delays,
    )
    def work(self, by: int, lanes: list[str], room: int, ends: list[End | None], delay: float) -> None:
        """What a worker does all day: claims, and settles most of it."""
        self.claim(by, lanes, room)
        self.contents = self.do(self.scene.contents())
        for verdict in ENDS:
            claimed = self.tokens[-room:]
            done = [token for token, end in zip(claimed, ends, strict=False) if end is verdict and token.owner == by]
            if done:
                self._settle(by, done, verdict, delay, 0)
                self.tokens = [token for token in self.tokens if token not in done]
                ends = [end for token, end in zip(claimed, ends, strict=False) if token not in done]

    @rule(chosen=several, verdict=verdicts, delay=delays, rest=rests, again=st.booleans())
    def settle(self, chosen: list[int], verdict: End, delay: float, rest: float, again: bool) -> None:
        """One process settles some of what it has; the reply may get lost, and it asks again."""
        if not self.tokens:
            return
        by = self.tokens[chosen[0] % len(self.tokens)].owner
        mine = [token for token in self.tokens if token.owner == by]
        picked = list({mine[pick % len(mine)].claim.job_id: mine[pick % len(mine)] for pick in chosen}.values())
        self._settle(by, picked, verdict, delay, rest)
        if again:
            given = [settled_as(token.claim, self._verdict(token, verdict)) for token in picked]
            assert set(self.do(self.ledgers[by].jobs.settle(given)).results) == {"stale"}
        self.tokens = [token for token in self.tokens if token not in picked]

    @rule(pick=picks, verdict=verdicts, delay=delays, rest=rests)
    def report_late(self, pick: int, verdict: End, delay: float, rest: float) -> None:
        """A process that was taken for dead reports what came of an attempt."""
        if self.late:
            token = self.late.pop(pick % len(self.late))
            self._settle(token.owner, [token], verdict, delay, rest)

    @rule(pick=picks)
    def answer_410(self, pick: int) -> None:
        """A receiver is gone: its integration is disabled, and what else it is owed stays owed."""
        if self.tokens:
            token = self.tokens.pop(pick % len(self.tokens))
            owed = self.contents.pending - {token.claim.job_id}
            self._settle(token.owner, [token], FAILED, 0, 0, disable="410")
            assert self.contents.pending >= owed

    def _settle(self, by: int, picked: list[Token], verdict: End, delay: float, rest: float, disable: str = "") -> None:
        how: dict[str, Any] = {"delay": delay, "rest": rest, "detail": f"by {by}", "disable": disable}
        given = [settled_as(token.claim, self._verdict(token, verdict), **how) for token in picked]
        results = self.do(self.ledgers[by].jobs.settle(given)).results
        assert results == [self._expected(by, token, self._verdict(token, verdict)) for token in picked]
        after = self.do(self.scene.contents())
        for token, result in zip(picked, results, strict=True):
            self._judge(token, result, verdict, after)
        self.contents = after

    def _judge(self, token: Token, result: str, verdict: End, after: LedgerContents) -> None:
        """What must have become of a job."""
        job = token.claim.job_id
        before, now = self.contents.jobs[job], after.jobs[job]
        epoch = (job, before["epoch"])
        if result == "stale":
            assert now == before
            return
        if verdict is SUCCEEDED:
            self.succeeded.add(epoch)
        if result == "late":
            # Where a later attempt is under way, the job may end with that one.
            assert now["state"] == "succeeded" or int(now["attempts"]) > 1
        elif epoch in self.succeeded:
            assert now["state"] == "succeeded"
        elif verdict is FAILED and result != "renewed":
            # With the configuration that followed it would have gone on, but for its deadline.
            assert after.state(job) == ("failed", "deadline" if self._was_renewed(token) else "exhausted")
        else:
            overdue = after.now + HOUR * 1000 > int(before["deadline"])
            assert now["state"] == "pending" or (overdue and after.state(job) == ("failed", "deadline"))

    @staticmethod
    def _verdict(token: Token, verdict: End) -> End:
        # Only who seized an attempt calls it lost.
        return RETRY if verdict is LOST and not token.seized else verdict

    def _expected(self, by: int, token: Token, verdict: End) -> str:
        row = self.contents.jobs[token.claim.job_id]
        if row["state"] != "pending":
            return "stale"
        if row["owner"] == self.ledgers[by].owner and int(row["attempts"]) == token.claim.attempt:
            return "renewed" if self._outdated(token, row, verdict) else "settled"
        return "late" if verdict is SUCCEEDED and token.claim.attempt > int(row["base"]) else "stale"

    def _outdated(self, token: Token, row: dict[str, str], verdict: End) -> bool:
        """It failed with a configuration that another has followed, and goes on."""
        over = "done" in row or int(row["deadline"]) < self.contents.now
        return self._was_renewed(token) and not over and verdict not in (SUCCEEDED, LOST)

    def _was_renewed(self, token: Token) -> bool:
        """Another configuration has followed the one that the attempt had."""
        lane = self.contents.hashes[f"lane:{token.claim.integration_id}"]
        return token.claim.revision < int(lane.get("renewed", 0))

    @rule(pick=picks)
    def release(self, pick: int) -> None:
        started = [token for token in self.tokens if not token.seized]
        if started:
            token = started[pick % len(started)]
            given = [token.claim]
            self.do(self.ledgers[token.owner].jobs.release(given))
            assert self.do(self.ledgers[token.owner].jobs.release(given)) == 0
            self.tokens.remove(token)

    # --- deaths

    @rule(dead=owners, reaper=owners, really=st.booleans())
    def die(self, dead: int, reaper: int, really: bool) -> None:
        if dead == reaper:
            return
        had = {job for job, row in self.contents.jobs.items() if row["owner"] == self.ledgers[dead].owner}
        self.do(self.scene.die(self.ledgers[dead]))
        claims = self.do(self.ledgers[reaper].fleet.seize())
        assert {claim.job_id for claim in claims} == had
        for claim in claims:
            assert claim.attempt == int(self.contents.jobs[claim.job_id]["attempts"])
        if not really:
            self.late += [token for token in self.tokens if token.owner == dead]
        self.tokens = [token for token in self.tokens if token.owner != dead]
        self._take(reaper, sorted(claims, key=lambda claim: claim.job_id), seized=True)

    @rule(dead=owners, reaper=owners, verdict=verdicts, order=st.permutations(["lost", "again", "late"]), delay=delays)
    def be_overtaken(self, dead: int, reaper: int, verdict: End, order: list[str], delay: float) -> None:
        """A process is taken for dead with something in its hands, and reports it before or after others go on."""
        self.claim(dead, list(LANES), 1)
        self.contents = self.do(self.scene.contents())
        if dead == reaper or not any(token.owner == dead for token in self.tokens):
            return
        self.die(dead, reaper, really=False)
        for step in order:
            self.contents = self.do(self.scene.contents())
            seized = [token for token in self.tokens if token.owner == reaper and token.seized]
            if step == "again":
                self.claim(reaper, list(LANES), 2)
            elif step == "late":
                self.report_late(len(self.late) - 1, verdict, delay, 0)
            elif seized:
                self._settle(reaper, seized[-1:], LOST, 0, 0)
                self.tokens.remove(seized[-1])

    @rule(owner=owners, pick=picks)
    def find_an_idle_lease(self, owner: int, pick: int) -> None:
        """A claim whose reply was lost: the process does not know that it has the job."""
        mine = [token for token in self.tokens if token.owner == owner]
        if not mine:
            return
        idle = mine[pick % len(mine)]
        held = self.contents.jobs[idle.claim.job_id]["owner"] == self.ledgers[owner].owner
        self.do(self.scene.die())
        claims = self.do(self.ledgers[owner].fleet.seize([idle.claim.job_id]))
        assert [claim.job_id for claim in claims] == ([idle.claim.job_id] if held else [])
        if held:
            self.tokens.remove(idle)
            self._take(owner, claims, seized=True)

    @rule(by=owners, lanes=some_lanes, room=st.integers(1, 4))
    def lose_a_reply(self, by: int, lanes: list[str], room: int) -> None:
        """A claim whose reply the process never gets wastes no attempt."""
        before = set(self.do(self.ledgers[by].fleet.leases()))
        with replies_lost(self.ledgers[by]), pytest.raises(LedgerUnavailable):
            self.do(self.ledgers[by].jobs.claim(lanes, room))
        idle_jobs = set(self.do(self.ledgers[by].fleet.leases())) - before
        self.do(self.scene.die())
        assert self.do(self.ledgers[by].fleet.seize(sorted(idle_jobs))) == []
        after = self.do(self.scene.contents())
        assert {job: after.jobs[job]["attempts"] for job in idle_jobs} == {
            job: self.contents.jobs[job]["attempts"] for job in idle_jobs
        }
        assert set(self.do(self.ledgers[by].fleet.leases())) == before

    @rule(dead=owners, by=owners)
    def redis_was_away(self, dead: int, by: int) -> None:
        self.do(self.scene.die(self.ledgers[dead]))
        self.do(self.scene.key("SET", "swept", 1))
        assert self.do(self.ledgers[by].fleet.seize()) == []

    @rule(owner=owners)
    def retire_and_come_back(self, owner: int) -> None:
        left = len(self.contents.sets.get(f"owner:{self.ledgers[owner].owner}:leases", ()))
        assert self.do(self.ledgers[owner].fleet.retire()) == left

    # --- people

    @rule(lane=lane_names, enabled=st.booleans(), paused=st.booleans(), renewed=st.booleans())
    def change_integration(self, lane: str, enabled: bool, paused: bool, renewed: bool) -> None:
        if f"integration:{lane}" in self.contents.hashes:
            changed = an_integration(lane, enabled=enabled, paused=paused)
            self.do(self.ledgers[0].integrations.put(changed, renewed=renewed))
            self._owes_the_same()

    @rule(lane=lane_names, sure=st.integers(0, 3))
    def delete_integration(self, lane: str, sure: int) -> None:
        if not sure:
            self.do(self.ledgers[0].integrations.delete(lane))
            self._owes_the_same()

    def _owes_the_same(self) -> None:
        """Invariant 4: a policy changes when, never what."""
        assert self.do(self.scene.contents()).pending == self.contents.pending

    @rule(chosen=st.lists(picks, min_size=1, max_size=3))
    def redeliver(self, chosen: list[int]) -> None:
        jobs = sorted(self.contents.jobs)
        if not jobs:
            return
        picked = list(dict.fromkeys(jobs[pick % len(jobs)] for pick in chosen))
        answers = self.do(self.ledgers[0].redelivery.redeliver(picked))
        due = Counter({lane: len(self.contents.scores.get(f"lane:{lane}:due", ())) for lane in LANES})
        for job, answer in zip(picked, answers, strict=True):
            row = self.contents.jobs[job]
            if f"integration:{row['lane']}" not in self.contents.hashes:
                assert answer == "gone"
            elif row["state"] != "pending":
                assert answer == ("reopened" if due[row["lane"]] < POLICY.lane_backlog else "full")
                due[row["lane"]] += answer == "reopened"
            else:
                assert answer == ("in_flight" if row["owner"] else "due")

    # --- time

    @rule(pick=picks, overdue=st.booleans())
    def expire(self, pick: int, overdue: bool) -> None:
        if overdue and (jobs := sorted(self.contents.pending)):
            self.do(self.scene.overdue(jobs[pick % len(jobs)]))
        self.do(self.ledgers[0].fleet.expire())

    @rule()
    def sweep(self) -> None:
        announced = self.do(self.ledgers[0].fleet.sweep())
        ready = {lane for lane, at in self.contents.scores.get("lanes", {}).items() if at <= self.contents.now}
        assert {each.id for each in announced.lanes} >= ready
        # At most one wake-up for each is under way.
        again = self.do(self.ledgers[1].fleet.sweep())
        assert (again.events, again.lanes) == ([], [])

    @rule()
    def an_hour_passes(self) -> None:
        """What was due later is due, and no lane rests any more."""
        for lane in LANES:
            for job in self.contents.scores.get(f"lane:{lane}:due", ()):
                self.do(self.scene.key("ZADD", f"lane:{lane}:due", 1, job))
            self.do(self.scene.key("HDEL", f"lane:{lane}", "rest_until", "announced_until"))
            self.do(self.scene.key("ZADD", "lanes", "XX", 1, lane))

    @invariant()
    def the_ledger_balances(self) -> None:
        self.contents = self.do(self.scene.contents())
        carried = {(token.claim.job_id, token.claim.attempt) for token in (*self.tokens, *self.late)}
        assert self.contents.problems(carried) == []


@pytest.fixture
def ledgers(make_redis: Callable[..., RedisServer]) -> Iterator[tuple[asyncio.Runner, list[Ledger]]]:
    """Three processes' ledgers, on a Redis server without a disk: here it is never killed."""
    redis_server = make_redis(appendonly="no")
    with asyncio.Runner() as loop:
        opened = [Ledger(redis_server.url, POLICY) for _ in range(3)]
        for ledger in opened:
            loop.run(ledger.open())
        yield loop, opened
        for ledger in opened:
            loop.run(ledger.close())


# A failure takes its time to be made small.
@pytest.mark.timeout(600)
def test_the_ledger_balances_whatever_happens_in_whatever_order(ledgers: tuple[asyncio.Runner, list[Ledger]]) -> None:
    loop, opened = ledgers
    run_state_machine_as_test(
        lambda: LedgerMachine(loop, opened),  # type: ignore[arg-type]  # whatever makes one will do
        settings=settings(
            max_examples=50,
            stateful_step_count=40,
            deadline=None,
            # The same steps every time: a failure in CI is one at home.
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_sums_of_an_empty_ledger(ledgers: tuple[asyncio.Runner, list[Ledger]]) -> None:
    loop, (ledger, *_) = ledgers
    loop.run(empty(ledger))
    assert loop.run(LedgerContents.read(ledger)).problems() == []
