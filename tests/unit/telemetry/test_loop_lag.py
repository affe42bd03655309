"""The lag of the event loop: the longest of the last delays."""

from worker.telemetry.loop_lag import TICKS, LoopLag


def test_the_worst_delay_of_the_last_seconds_counts() -> None:
    lag = LoopLag()
    assert lag.worst == 0.0
    for delay in (0.001, 0.7, 0.002):
        lag.note(delay)
    assert lag.worst == 0.7
    for _ in range(TICKS - 1):
        lag.note(0.003)
    assert lag.worst == 0.003
