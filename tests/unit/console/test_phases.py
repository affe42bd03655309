"""The phases of an attempt as bars."""

from deliverers.exchange import PhaseTimes
from worker.console.phases import phases_of


def test_phases_follow_one_another_and_end_with_the_attempt() -> None:
    phases = phases_of(PhaseTimes(0.1, 0.2, 0.3, 0.3), 1.0)
    assert [each.name for each in phases] == ["DNS", "Connect", "TLS", "First byte", "Rest"]
    assert [(each.start, each.width) for each in phases] == [(0, 10), (10, 20), (30, 30), (60, 30), (90, 10)]


def test_a_reused_connection_has_the_first_byte_alone() -> None:
    (phase,) = phases_of(PhaseTimes(first_byte=0.5), 0.5)
    assert (phase.name, phase.start, phase.width) == ("First byte", 0, 100)


def test_an_attempt_without_measured_phases_has_no_bars() -> None:
    assert phases_of(PhaseTimes(), 10.0) == ()


def test_phases_that_add_up_to_more_than_the_whole_still_fit() -> None:
    phases = phases_of(PhaseTimes(dns=1.0, first_byte=3.0), 2.0)
    assert phases[-1].start + phases[-1].width == 100


def test_an_attempt_of_no_time_at_all_divides_by_nothing() -> None:
    (phase,) = phases_of(PhaseTimes(dns=0.0), 0.0)
    assert phase.width == 0
