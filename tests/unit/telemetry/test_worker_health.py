"""What a worker says of itself: whom a restart would help, and what it waits for."""

from dataclasses import dataclass
from time import monotonic

import pytest
from msgspec import UNSET

from worker.telemetry.readiness import Check, Presence, State, readiness
from worker.telemetry.worker_health import SILENT_SECONDS, STALE_TURN_SECONDS, WorkerHealth


@dataclass
class Timers:
    answered_at: float
    turned_at: float
    pause: float

    @property
    def swept_at(self) -> float:
        return self.answered_at


@dataclass
class InFlight:
    in_flight: int = 3
    draining: bool = False


def working(received: float = 0.0, turned: float = 0.0, pause: float = 1.0, **pool: bool) -> WorkerHealth:
    """A worker that has begun, whose timers pause for so long; ages and pauses in seconds."""
    found = WorkerHealth()
    found.ledger.there()
    found.messages.there()
    found.begin(Timers(monotonic() - received, monotonic() - turned, pause), InFlight(**pool))
    return found


def test_one_that_waits_for_its_ledger_from_the_start_lives_and_is_not_ready() -> None:
    waiting = WorkerHealth()
    waiting.ledger.away("nobody listens", State.RED)
    assert waiting.health().well
    assert waiting.ready().status is State.RED
    assert waiting.ready().checks["ledger"].why == "nobody listens"


def test_a_ledger_that_is_away_is_no_reason_for_a_restart() -> None:
    alone = working(received=3_600)
    alone.ledger.away("nobody listens", State.RED)
    assert alone.health().well
    assert alone.health().last_sweep_age == pytest.approx(3_600, abs=5)
    assert alone.health().in_flight == 3
    assert alone.ready().status is State.RED


@pytest.mark.parametrize(("draining", "well"), [(False, False), (True, True)])
def test_timers_that_do_not_go_round_are_one_but_in_a_drain_which_has_stopped_them(draining: bool, well: bool) -> None:
    assert working(turned=STALE_TURN_SECONDS + 1, draining=draining).health().well is well


@pytest.mark.parametrize("pause", [0.2, 1.0, 12.0])
def test_a_ledger_that_is_silent_for_longer_than_the_timers_pause_shows_before_a_call_fails(pause: float) -> None:
    check = working(received=pause + SILENT_SECONDS + 1, pause=pause).ready().checks["ledger"]
    assert (check.status, check.why) == (State.RED, f"no answer for {pause + SILENT_SECONDS + 1:.0f} s")
    assert working(received=pause + SILENT_SECONDS - 1, pause=pause).ready().status is State.OK


@pytest.mark.parametrize("which", ["messages", "wakeups"])
def test_a_broker_that_is_away_degrades_in_every_process_that_finds_out(which: str) -> None:
    found = working()
    getattr(found, which).away("nobody listens", State.DEGRADED)
    ready = found.ready()
    assert (ready.status, ready.checks["broker"].why) == (State.DEGRADED, "nobody listens")


def test_one_that_drains_takes_no_work_and_says_so() -> None:
    ready = working(received=3_600, draining=True).ready()
    assert (ready.status, ready.checks["ledger"].status) == (State.RED, State.OK)
    assert ready.checks["process"].why == "it is stopping"


def test_an_absence_keeps_its_beginning_and_shows_its_newest_reason() -> None:
    found = Presence()
    assert found.away("refused", State.RED)
    since = found.check.since
    assert not found.away("no answer", State.DEGRADED)
    assert (found.check.why, found.check.since, found.check.status) == ("no answer", since, State.DEGRADED)
    assert found.there()
    assert (found.check, found.there()) == (Check(State.OK), False)


def test_what_never_was_there_is_away_since_it_was_first_missed() -> None:
    found = Presence(Check(State.RED, "not reached yet"))
    assert found.check.since is UNSET
    assert not found.away("refused", State.RED)
    assert found.check.since is not UNSET


def test_readiness_is_the_worst_of_its_checks() -> None:
    checks = {"a": Check(State.OK), "b": Check(State.RED, "x"), "c": Check(State.DEGRADED, "y")}
    assert readiness(checks).status is State.RED
    assert readiness(checks).checks == checks
