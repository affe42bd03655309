"""A process's lease by its own clock, which the tests set."""

import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.ledger.lease import MARGIN, NO_TERM, Lease, boot_seconds

SECONDS = 10.0


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lease(clock: Clock) -> Lease:
    return Lease(SECONDS, clock)


def answered(lease: Lease, clock: Clock, after: float = 0.0) -> int:
    """A call that renews, and is answered so many seconds after it was sent."""
    asked_at = lease.now()
    clock.now += after
    return lease.renewed(asked_at)


def test_before_the_first_renewal_nothing_is_covered(lease: Lease) -> None:
    assert not lease.covers(lease.term)


def test_a_lease_counts_from_before_the_call_was_sent(lease: Lease, clock: Clock) -> None:
    term = answered(lease, clock, after=4.0)
    clock.now += 5.8
    assert lease.covers(term)
    clock.now += 0.2
    assert not lease.covers(term)


def test_a_lease_is_used_a_little_shorter_than_the_ledger_has_it(lease: Lease, clock: Clock) -> None:
    term = answered(lease, clock)
    clock.now += SECONDS * (1 - MARGIN)
    assert not lease.covers(term)


def test_renewals_in_time_keep_one_term(lease: Lease, clock: Clock) -> None:
    first = answered(lease, clock)
    for _ in range(5):
        clock.now += 7.0
        assert answered(lease, clock, after=1.0) == first
    assert lease.covers(first)


def test_a_claim_from_before_the_lease_ran_out_is_worthless_although_it_was_renewed(lease: Lease, clock: Clock) -> None:
    first = answered(lease, clock)
    clock.now += SECONDS
    second = answered(lease, clock)
    assert not lease.covers(first)
    assert lease.covers(second)


def test_a_reply_from_after_the_end_of_the_lease_begins_another_term(lease: Lease, clock: Clock) -> None:
    """The call was sent in time. Nobody knows whether it arrived in time."""
    first = answered(lease, clock)
    clock.now += 5.0
    second = answered(lease, clock, after=5.0)
    assert second != first
    assert not lease.covers(first)


def test_a_reply_that_is_older_than_a_lease_renews_nothing(lease: Lease, clock: Clock) -> None:
    answered(lease, clock)
    assert answered(lease, clock, after=SECONDS) == NO_TERM
    assert not lease.covers(NO_TERM)
    assert not lease.covers(lease.term)


def test_replies_may_come_in_another_order_than_their_calls(lease: Lease, clock: Clock) -> None:
    early = lease.now()
    clock.now += 3.0
    term = answered(lease, clock)
    assert lease.renewed(early) == term
    clock.now += 9.0
    assert lease.covers(term)


def test_a_lease_that_the_ledger_had_lost_begins_another_term(lease: Lease, clock: Clock) -> None:
    first = answered(lease, clock)
    second = lease.renewed(lease.now(), lost=True)
    assert not lease.covers(first)
    assert lease.covers(second)


def test_the_clock_goes_on_while_the_machine_sleeps() -> None:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    before = time.clock_gettime(clock)
    assert before <= boot_seconds() <= time.clock_gettime(clock)


@given(st.lists(st.tuples(st.floats(0, 8), st.floats(0, 12), st.floats(0, 1)), max_size=20))
def test_a_covered_claim_was_leased_by_the_ledger_all_the_time(steps: list[tuple[float, float, float]]) -> None:
    """The ledger runs each call at some moment between its sending and its reply, and its lease counts from there."""
    clock = Clock()
    lease = Lease(SECONDS, clock)
    #: When the ledger's lease began without a gap, and when it ends.
    since, until = clock.now, float("-inf")
    claims: list[tuple[int, float]] = []
    for pause, takes, place in steps:
        clock.now += pause
        asked_at, run_at = lease.now(), clock.now + place * takes
        clock.now += takes
        if run_at >= until:
            since = run_at
        until = max(until, run_at + SECONDS)
        claims.append((lease.renewed(asked_at), run_at))
        for term, claimed_at in claims:
            if lease.covers(term):
                assert since <= claimed_at
                assert clock.now < until
