"""What holds of the retry policy for any schedule, outcome and chance."""

from hypothesis import given
from hypothesis import strategies as st

from deliverers.contract import Counted, Refused, Unreachable
from worker.domain.retry_policy import Fail, Retry, RetryPolicy

DAY = 24 * 3600.0
schedules = st.lists(st.floats(0.001, 30 * DAY), max_size=12).map(tuple)
chances = st.floats(0, 1, exclude_max=True)
asked = st.none() | st.floats(0, 100 * DAY)
outcomes = st.builds(
    Refused, st.sampled_from([400, 404, 429, 500, 503, None]), st.just(""), st.just("r"), asked
) | st.just(Unreachable("r"))
attempts = st.integers(1, 20)


@given(schedules, outcomes, attempts, chances)
def test_a_job_has_as_many_retries_as_its_schedule(
    schedule: tuple[float, ...], outcome: Counted, attempt: int, chance: float
) -> None:
    decision = RetryPolicy(schedule).decide(outcome, attempt, chance)
    assert isinstance(decision, Retry) == (attempt <= len(schedule))
    assert isinstance(decision, Retry) or decision == Fail("exhausted")


@given(schedules, outcomes, attempts, chances, st.floats(0, 0.9))
def test_a_delay_is_its_place_in_the_schedule_within_its_jitter_or_what_was_asked_for(
    schedule: tuple[float, ...], outcome: Counted, attempt: int, chance: float, jitter: float
) -> None:
    policy = RetryPolicy(schedule, jitter=jitter)
    decision = policy.decide(outcome, attempt, chance)
    if not isinstance(decision, Retry):
        return
    planned = schedule[attempt - 1]
    wanted = min(outcome.retry_after or 0.0, DAY) if isinstance(outcome, Refused) else 0.0
    slack = 1e-9 * planned
    # Never shorter than the schedule has it, nor than the receiver asked, up to a day.
    assert decision.delay >= max(planned * (1 - jitter), wanted) - slack
    assert decision.delay <= max(planned * (1 + jitter), wanted) + slack


@given(schedules, outcomes, attempts, chances)
def test_only_what_speaks_for_a_whole_receiver_rests_its_lane(
    schedule: tuple[float, ...], outcome: Counted, attempt: int, chance: float
) -> None:
    decision = RetryPolicy(schedule).decide(outcome, attempt, chance)
    if isinstance(decision, Retry):
        resting = isinstance(outcome, Refused) and outcome.status in (429, 503)
        assert 0 <= decision.rest <= min(DAY, decision.delay)
        assert resting or decision.rest == 0


@given(st.lists(st.floats(1, DAY), min_size=2, max_size=12).map(sorted), attempts, chances)
def test_a_growing_schedule_is_never_overtaken_by_more_than_its_jitter(
    schedule: list[float], attempt: int, chance: float
) -> None:
    policy = RetryPolicy(tuple(schedule))
    one, later = (policy.decide(Unreachable("r"), number, chance) for number in (attempt, attempt + 1))
    if isinstance(one, Retry) and isinstance(later, Retry):
        assert later.delay >= one.delay


@given(schedules, attempts, chances, chances)
def test_more_chance_is_more_delay(schedule: tuple[float, ...], attempt: int, one: float, other: float) -> None:
    policy = RetryPolicy(schedule)
    found = [policy.decide(Unreachable("r"), attempt, chance) for chance in sorted((one, other))]
    if isinstance(found[0], Retry) and isinstance(found[1], Retry):
        assert found[0].delay <= found[1].delay


@given(schedules, attempts, st.integers(1, 10), chances)
def test_a_loss_never_costs_more_than_a_failure(
    schedule: tuple[float, ...], attempt: int, lost: int, chance: float
) -> None:
    policy = RetryPolicy(schedule)
    loss, failure = policy.after_loss(attempt, lost, chance), policy.decide(Unreachable("r"), attempt, chance)
    assert type(loss) is type(failure)
    if isinstance(loss, Retry) and isinstance(failure, Retry):
        assert loss.delay == (0.0 if lost == 1 else failure.delay)
