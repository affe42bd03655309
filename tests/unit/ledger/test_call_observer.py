"""What a ledger reports about its calls."""

import pytest

from worker.ledger.connection.call_observer import observing


class Recorder:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.seconds: list[float] = []

    def observed(self, script: str, seconds: float) -> None:
        self.calls.append(("observed", script))
        self.seconds.append(seconds)

    def failed(self, script: str) -> None:
        self.calls.append(("failed", script))

    def left_to_newer(self, count: int) -> None:
        raise AssertionError("no claim was made")


def test_a_call_that_is_answered_is_observed_with_its_duration() -> None:
    recorder = Recorder()
    with observing(recorder, "claim"):
        pass
    assert recorder.calls == [("observed", "claim")]
    assert recorder.seconds[0] >= 0


def test_a_call_that_fails_is_observed_too_and_its_error_is_passed_on() -> None:
    recorder = Recorder()
    with pytest.raises(OSError, match="reset"), observing(recorder, "claim"):
        raise OSError("reset")
    assert recorder.calls == [("failed", "claim"), ("observed", "claim")]
