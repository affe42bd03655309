"""What the orchestrator does when something that must not happen happens. The ledger beside it is a fake."""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from time import perf_counter
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr
from structlog.testing import capture_logs

from deliverers.contract import Delivered, Deliverer, Delivery, IntegrationRef, NotAttempted, Outcome, Refused, Resource
from tests.waiting import eventually
from worker.delivery import attempt_runner, in_flight
from worker.delivery.attempt_tasks import LOSSES_BEFORE_ALONE
from worker.delivery.delivery_service import DeliveryService
from worker.domain.attempt import Attempt, InterruptedAttempt
from worker.domain.claim import Claim
from worker.domain.delivery_target import DeliveryTarget, NoTarget
from worker.domain.event import Event, Scope
from worker.domain.retry_policy import Decision, RetryPolicy
from worker.domain.stored_event import StoredEvent
from worker.ledger import LedgerUnavailable, Settlement, Verdict
from worker.ledger.lanes.claims import Claimed, LaneStanding
from worker.ledger.lanes.job_lanes import NO_LIMITS
from worker.ledger.lanes.settlements import Settled

EVENT = StoredEvent("ref", Event("e-1", "order.paid", Scope("o", "s"), b"{}", b"{}", None, None, None), 0)


def claim(name: str, lane: str = "", **changes: int) -> Claim:
    return Claim(name, lane or f"lane-{name}", 1, "o/s", "ref", 1, event=EVENT, **changes)


class FakeConfiguration(BaseModel):
    """What the fake deliverer is given."""

    token: SecretStr = SecretStr("planted token")


@dataclass
class Lanes:
    """Jobs of a ledger, with the faults that a test wants."""

    owed: list[Claim] = field(default_factory=list)
    settled: dict[str, Settlement] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    poison: str = ""

    async def claim(self, lanes: Sequence[str], room: int, limits: Mapping[str, int] = NO_LIMITS) -> Claimed:
        if self.faults:
            raise self.faults.pop()
        taken = [each for each in self.owed if each.integration_id in lanes][:room]
        self.owed = [each for each in self.owed if each not in taken]
        return Claimed(taken, [each.integration_id for each in self.owed if each.integration_id in lanes])

    async def standings(self, lanes: Sequence[str]) -> Mapping[str, LaneStanding]:
        return {lane: LaneStanding("o/s", did_well=None) for lane in lanes}

    async def settle(self, settlements: Sequence[Settlement]) -> Settled:
        if self.faults:
            raise self.faults.pop()
        if any(each.job_id == self.poison for each in settlements):
            raise ValueError("a script's bug")
        self.settled |= {each.job_id: each for each in settlements}
        return Settled(["settled"] * len(settlements), [])

    async def release(self, claims: Sequence[Claim]) -> int:
        if self.faults:
            raise self.faults.pop()
        self.released += [each.job_id for each in claims]
        return len(claims)


@dataclass
class Receiver:
    """A deliverer whose answer is the test's."""

    answer: Callable[[Delivery], Awaitable[Outcome]]

    integration_type = "fake"
    configuration_model = BaseModel

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def deliver(self, delivery: Delivery) -> Outcome:
        return await self.answer(delivery)


class Targets:
    def __init__(self, deliverer: Deliverer) -> None:
        self.target = DeliveryTarget(IntegrationRef("i", "fake", "n", ""), deliverer, FakeConfiguration())

        self.known = True
        self.readable = asyncio.Event()
        self.readable.set()

    def known_target(self, claim: Claim) -> DeliveryTarget | NoTarget | None:
        return self.target if self.known else None

    def unread(self, stores: Mapping[str, str]) -> Sequence[str]:
        return ()

    async def read(self, lanes: Sequence[str]) -> None: ...

    async def load_target(self, claim: Claim) -> DeliveryTarget | NoTarget:
        await self.readable.wait()
        return self.target


@dataclass
class Delivering:
    lanes: Lanes
    reported: list[Attempt]
    receiver: Receiver
    targets: Targets
    deliveries: DeliveryService

    async def until(self, condition: Callable[[], Any]) -> None:
        await eventually(condition, "it is so")


async def delivered(_: Delivery) -> Outcome:
    return Delivered(200, "ok")


@pytest.fixture
async def delivering() -> AsyncIterator[Delivering]:
    lanes, reported, receiver = Lanes(), list[Attempt](), Receiver(delivered)
    targets = Targets(receiver)  # type: ignore[arg-type]  # its constructor takes an answer in place of options
    deliveries = deliveries_of(lanes, reported, targets, RetryPolicy((1.0, 2.0)))
    deliveries.open()
    yield Delivering(lanes, reported, receiver, targets, deliveries)
    await deliveries.drain(0.0, asyncio.Event())


def deliveries_of(lanes: Lanes, reported: list[Attempt], targets: Targets, policy: RetryPolicy) -> DeliveryService:
    return DeliveryService(
        lanes,
        targets,
        policy,
        lambda attempt, result: reported.append(attempt),
        max_in_flight=10,
        max_in_flight_bytes=10_000,
        timeout=1.0,
    )


async def test_a_deliverer_that_raises_costs_an_attempt_and_not_the_worker(delivering: Delivering) -> None:
    async def broken(_: Delivery) -> Outcome:
        raise RuntimeError("a bug of a plug-in")

    delivering.receiver.answer = broken
    delivering.deliveries.start([claim("a")])
    await delivering.until(lambda: delivering.lanes.settled)
    assert delivering.lanes.settled["a"].verdict is Verdict.RETRY
    assert delivering.lanes.settled["a"].log.error_detail == "internal error of the deliverer"
    assert "a bug of a plug-in" not in delivering.lanes.settled["a"].log.error_detail


async def test_a_deliverers_bug_is_logged_without_the_secrets_that_it_was_given(delivering: Delivering) -> None:
    async def indiscreet(delivery: Delivery) -> Outcome:
        assert isinstance(delivery.configuration, FakeConfiguration)
        raise KeyError(f"no such header: {delivery.configuration.token.get_secret_value()}")

    delivering.receiver.answer = indiscreet
    with capture_logs() as said:
        delivering.deliveries.start([claim("a")])
        await delivering.until(lambda: delivering.lanes.settled)

    (failed,) = [each for each in said if each["event"] == "deliverer failed"]
    assert "KeyError: 'no such header: ********'" in failed["exception"]
    assert "in indiscreet" in failed["exception"]
    assert "planted" not in f"{said} {delivering.lanes.settled['a'].log}"


@pytest.mark.parametrize("asked", ["120", float("nan")])
async def test_a_pause_that_is_no_number_costs_an_attempt_and_not_a_place(delivering: Delivering, asked: Any) -> None:
    async def refused(_: Delivery) -> Outcome:
        return Refused(429, "", "too many", retry_after=asked)

    delivering.receiver.answer = refused
    delivering.deliveries.start([claim("a")])
    await delivering.until(lambda: delivering.deliveries.in_flight == 0)
    assert delivering.lanes.settled["a"].verdict is Verdict.RETRY
    assert "internal error" in delivering.lanes.settled["a"].log.error_detail


async def test_an_attempt_that_meets_a_bug_of_ours_is_left_to_be_found_and_holds_no_place(
    delivering: Delivering,
) -> None:
    class Buggy(RetryPolicy):
        def decide(self, outcome: Outcome, attempt: int, random: float) -> Decision:
            raise ValueError("a bug")

    deliveries = deliveries_of(delivering.lanes, delivering.reported, delivering.targets, Buggy((1.0,)))
    deliveries.open()
    deliveries.start([claim("a")])
    await delivering.until(lambda: deliveries.in_flight == 0)
    assert (delivering.lanes.settled, deliveries.held) == ({}, set())
    await deliveries.drain(0.0, asyncio.Event())


async def test_an_attempt_that_outlived_its_lease_ends_no_later_one_of_its_job(delivering: Delivering) -> None:
    gates = {1: asyncio.Event(), 2: asyncio.Event()}

    async def hang(delivery: Delivery) -> Outcome:
        await gates[delivery.attempt].wait()
        return Delivered(200, "")

    delivering.receiver.answer = hang
    for attempt in gates:
        # This process was taken for dead, and claims its own job again.
        delivering.deliveries.start([replace(claim("a"), attempt=attempt)])
    await asyncio.sleep(0)
    assert delivering.deliveries.in_flight == 2

    gates[1].set()
    await delivering.until(lambda: delivering.lanes.settled)
    await delivering.until(lambda: delivering.deliveries.in_flight == 1)
    assert delivering.deliveries.held == {"a"}
    gates[2].set()
    await delivering.until(lambda: delivering.deliveries.in_flight == 0)
    assert delivering.lanes.settled["a"].attempt == 2


async def test_an_outcome_that_cannot_be_written_holds_up_no_other(delivering: Delivering) -> None:
    delivering.lanes.poison = "b"
    delivering.deliveries.start([claim("a"), claim("b"), claim("c")])
    await delivering.until(lambda: delivering.deliveries.in_flight == 0)
    assert set(delivering.lanes.settled) == {"a", "c"}


async def test_outcomes_are_kept_while_the_ledger_is_away(delivering: Delivering) -> None:
    delivering.lanes.faults = [LedgerUnavailable("away"), LedgerUnavailable("away")]
    delivering.deliveries.start([claim("a")])
    await delivering.until(lambda: delivering.lanes.settled)
    assert delivering.deliveries.in_flight == 0


async def test_claiming_survives_a_bug_and_goes_on_with_the_next_lane(delivering: Delivering) -> None:
    delivering.lanes.owed = [claim("a"), claim("b")]
    delivering.lanes.faults = [ValueError("a bug")]
    delivering.deliveries.serve(["lane-a"])
    await delivering.until(lambda: not delivering.lanes.faults)
    delivering.deliveries.serve(["lane-b"])
    await delivering.until(lambda: "b" in delivering.lanes.settled)


async def test_no_more_is_claimed_than_can_be_started(delivering: Delivering) -> None:
    gate = asyncio.Event()
    most = 0

    async def wait(_: Delivery) -> Outcome:
        nonlocal most
        most = max(most, delivering.deliveries.in_flight)
        await gate.wait()
        return Delivered(200, "")

    # A lane that has delivered may have what there is.
    delivering.lanes.owed = [claim("first", "well")]
    delivering.deliveries.serve(["well"])
    await delivering.until(lambda: len(delivering.lanes.settled) == 1)
    delivering.receiver.answer = wait
    delivering.lanes.owed = [claim(f"j{n}", "well") for n in range(40)]
    delivering.deliveries.serve(["well"])
    await delivering.until(lambda: delivering.deliveries.in_flight == 10)
    gate.set()
    await delivering.until(lambda: len(delivering.lanes.settled) == 41)
    assert most <= 10


async def test_a_lane_that_has_all_the_slots_it_may_have_is_served_again_when_one_is_free(
    delivering: Delivering,
) -> None:
    gate = asyncio.Event()

    async def hang(_: Delivery) -> Outcome:
        await gate.wait()
        return Delivered(200, "")

    delivering.receiver.answer = hang
    delivering.lanes.owed = [claim("j1", "new")]
    delivering.deliveries.serve(["new"])
    await delivering.until(lambda: delivering.deliveries.in_flight == 1)
    delivering.lanes.owed = [claim("j2", "new")]
    delivering.deliveries.serve(["new"])
    # Nothing here waits for anything but the loop, so all that could happen has happened after so many turns of it.
    for _ in range(100):
        await asyncio.sleep(0)
    assert delivering.deliveries.in_flight == 1
    gate.set()
    await delivering.until(lambda: len(delivering.lanes.settled) == 2)


async def test_a_job_that_was_lost_three_times_runs_with_nothing_beside_it(delivering: Delivering) -> None:
    beside: dict[str, int] = {}
    gate = asyncio.Event()

    async def watch(delivery: Delivery) -> Outcome:
        beside[delivery.job_id] = delivering.deliveries.in_flight
        if delivery.job_id != "poison":
            await gate.wait()
        return Delivered(200, "")

    delivering.receiver.answer = watch
    delivering.deliveries.start([claim("a"), claim("poison", lost=LOSSES_BEFORE_ALONE), claim("b")])
    await delivering.until(lambda: {"a", "b"} <= set(beside))
    assert delivering.deliveries.room == 0
    assert "poison" not in beside
    gate.set()
    await delivering.until(lambda: len(delivering.lanes.settled) == 3)
    assert beside["poison"] == 1
    assert delivering.deliveries.room == 10


async def test_a_deliverer_that_keeps_no_deadline_is_cut_off(
    delivering: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.delivery.attempt_runner.DEADLINE_GRACE_SECONDS", -1.0)

    async def never(_: Delivery) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    delivering.receiver.answer = never
    delivering.deliveries.start([claim("a")])
    await asyncio.sleep(0)
    delivering.deliveries.cut_off_overdue()
    await delivering.until(lambda: delivering.lanes.settled)
    assert "did not keep its deadline" in delivering.lanes.settled["a"].log.error_detail


async def test_a_drain_interrupts_what_has_begun_and_gives_back_what_has_not(delivering: Delivering) -> None:
    async def never(_: Delivery) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    delivering.receiver.answer = never
    delivering.deliveries.start([claim("begun")])
    await delivering.until(lambda: delivering.deliveries.in_flight == 1)
    await asyncio.sleep(0)
    delivering.deliveries.start([claim("waits", lost=LOSSES_BEFORE_ALONE)])
    await asyncio.sleep(0)
    await delivering.deliveries.drain(0.01, asyncio.Event())
    assert delivering.lanes.released == ["waits"]
    assert [type(each.outcome) for each in delivering.reported] == [InterruptedAttempt]
    assert delivering.lanes.settled["begun"].delay == 0.0


def test_what_a_call_won_may_be_its_own_until_it_has_ended(
    delivering: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliveries = delivering.deliveries
    assert deliveries.calling_since == inf
    monkeypatch.setattr(in_flight, "monotonic", lambda: 17.0)
    with deliveries.reserved(1):
        monkeypatch.setattr(in_flight, "monotonic", lambda: 18.0)
        with deliveries.reserved(1):
            assert deliveries.calling_since == 17.0
    assert deliveries.calling_since == inf


async def lacking(_: Delivery) -> Outcome:
    return NotAttempted(Resource.FILES, "no more files")


async def raising(_: Delivery) -> Outcome:
    try:
        raise OSError(errno.EMFILE, "Too many open files")
    except OSError as error:
        raise RuntimeError("a plug-in's own words") from error


@pytest.mark.parametrize("answer", [lacking, raising])
async def test_a_lack_of_ours_spends_no_attempt_and_the_job_is_claimed_again_after_a_pause(
    delivering: Delivering, answer: Callable[[Delivery], Awaitable[Outcome]]
) -> None:
    delivering.receiver.answer = answer
    delivering.deliveries.start([claim("a")])
    await delivering.until(lambda: delivering.lanes.released == ["a"])
    assert (delivering.lanes.settled, delivering.reported) == ({}, [])
    assert delivering.deliveries.limit == 1

    delivering.receiver.answer = delivered
    delivering.lanes.owed.append(claim("a"))
    await delivering.until(lambda: delivering.lanes.settled)
    assert delivering.lanes.settled["a"].verdict is Verdict.SUCCEEDED


async def test_a_job_is_given_back_although_the_ledger_is_away_for_a_while(
    delivering: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.delivery.returner.LEDGER_RETRY_SECONDS", 0.0)
    delivering.receiver.answer = lacking
    delivering.lanes.faults = [LedgerUnavailable("no descriptor for a connection")] * 3
    delivering.deliveries.start([claim("a"), claim("b")])
    # Until then this process renews their leases.
    await delivering.until(lambda: sorted(delivering.lanes.released) == ["a", "b"])
    assert delivering.deliveries.in_flight == 0


async def test_a_resource_that_a_plug_in_made_up_is_its_bug(delivering: Delivering) -> None:
    async def invented(_: Delivery) -> Outcome:
        return NotAttempted("patience", "none left")  # type: ignore[arg-type]  # that is the point

    delivering.receiver.answer = invented
    delivering.deliveries.start([claim("a")])
    await delivering.until(lambda: delivering.lanes.settled)
    assert delivering.lanes.settled["a"].verdict is Verdict.RETRY
    assert delivering.reported[0].ours


async def unavailable(_: Delivery) -> Outcome:
    return Refused(503, "", "unavailable")


def patient(delivering: Delivering, **changes: Any) -> None:
    """Give the integration a patience of its own."""
    delivering.targets.target = replace(delivering.targets.target, **changes)


@pytest.mark.parametrize(
    ("schedule", "attempt", "verdict"),
    [
        ((5.0,) * 9, 5, Verdict.RETRY),
        ((5.0,) * 9, 10, Verdict.FAILED),
        ((), 1, Verdict.FAILED),
        (None, 3, Verdict.FAILED),
    ],
)
async def test_an_integrations_own_schedule_says_how_often_it_is_tried(
    delivering: Delivering, schedule: tuple[float, ...] | None, attempt: int, verdict: Verdict
) -> None:
    patient(delivering, retry_schedule=schedule)
    delivering.receiver.answer = unavailable
    delivering.lanes.owed = [replace(claim("j"), attempt=attempt)]
    delivering.deliveries.serve(["lane-j"])
    await delivering.until(lambda: delivering.lanes.settled)
    assert delivering.lanes.settled["j"].verdict is verdict


async def test_a_lost_attempt_ends_a_job_by_its_integrations_own_schedule_which_may_have_to_be_read(
    delivering: Delivering,
) -> None:
    patient(delivering, retry_schedule=(5.0,) * 9)
    delivering.targets.known = False
    delivering.deliveries.lose([replace(claim("j", lost=2), attempt=5), replace(claim("k", lost=2), attempt=10)])
    await delivering.until(lambda: len(delivering.lanes.settled) == 2)
    assert delivering.lanes.settled["j"].verdict is Verdict.RETRY
    assert delivering.lanes.settled["k"].verdict is Verdict.FAILED


async def test_a_lost_attempt_whose_integration_cannot_be_read_before_the_end_ends_no_job(
    delivering: Delivering,
) -> None:
    delivering.targets.known = False
    delivering.targets.readable.clear()
    delivering.deliveries.lose([replace(claim("j", lost=2), attempt=50)])
    await delivering.deliveries.drain(0.0, asyncio.Event())
    assert delivering.lanes.settled["j"].verdict is Verdict.RETRY


async def test_a_deliverer_gets_its_integrations_own_timeout_and_is_cut_off_only_after_it(
    delivering: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient(delivering, timeout=900.0)
    began, timeouts = asyncio.Event(), list[float | None]()

    async def hang(delivery: Delivery) -> Outcome:
        timeouts.append(delivery.timeout)
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    delivering.receiver.answer = hang
    delivering.lanes.owed = [claim("j")]
    delivering.deliveries.serve(["lane-j"])
    await began.wait()
    assert timeouts == [900.0]
    later = perf_counter() + 800.0
    monkeypatch.setattr(attempt_runner, "perf_counter", lambda: later)
    delivering.deliveries.cut_off_overdue()
    await asyncio.sleep(0)
    assert not delivering.lanes.settled
    monkeypatch.setattr(attempt_runner, "perf_counter", lambda: later + 200.0)
    delivering.deliveries.cut_off_overdue()
    await delivering.until(lambda: delivering.lanes.settled)
    (made,) = delivering.reported
    assert made.reason == "the deliverer did not keep its deadline of 900 s"
