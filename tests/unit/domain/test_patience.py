"""An integration's own timeout and retry schedule: within the deployment's limits, with reasons."""

from typing import Any

import pytest

from worker.domain.patience import PatienceLimits, patience_problems, schedule_of

LIMITS = PatienceLimits(longest_timeout=30.0, job_deadline=7 * 86_400.0)


def problems(**given: Any) -> dict[str, str]:
    return {each.field: each.reason for each in patience_problems(given, LIMITS)}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"timeout": None, "retry_schedule": None},
        {"timeout": 1, "retry_schedule": []},
        {"timeout": 30.0, "retry_schedule": [1, 2.5, 86_400]},
        {"retry_schedule": [1.0] * 50},
        {"retry_schedule": [7 * 86_400]},
    ],
)
def test_what_is_within_the_limits_is_taken(given: dict[str, Any]) -> None:
    assert problems(**given) == {}


@pytest.mark.parametrize("timeout", [0.99, 30.1, -1, True, "10", [10], float("nan"), float("inf")])
def test_a_timeout_outside_the_limits_is_refused_with_them(timeout: Any) -> None:
    assert problems(timeout=timeout) == {
        "timeout": "must be seconds, from 1 to 30 (EDW_WEBHOOK_TIMEOUT_MAX), or null for the deployment's own"
    }


@pytest.mark.parametrize(
    ("schedule", "found"),
    [
        ("5s", {"retry_schedule": "must be a list of pauses in seconds, such as [5, 60], or null"}),
        ([5] * 51, {"retry_schedule": "must have at most 50 pauses, and has 51"}),
        (
            [5, 0.5, True, "5", 2_592_001],
            {f"retry_schedule.{at}": "must be seconds, from 1 to 2,592,000" for at in (1, 2, 3, 4)},
        ),
        (
            [86_400] * 8,
            {"retry_schedule": "has pauses of 8 d in all, and a job ends after 7 d (EDW_JOB_DEADLINE)"},
        ),
    ],
)
def test_a_schedule_is_refused_at_the_pause_that_is_wrong(schedule: Any, found: dict[str, str]) -> None:
    assert problems(retry_schedule=schedule) == found


def test_null_takes_the_deployments_schedule_and_an_empty_one_makes_one_attempt() -> None:
    assert schedule_of({}, (5.0,)) == (5.0,)
    assert schedule_of({"retry_schedule": None}, (5.0,)) is None
    assert schedule_of({"retry_schedule": []}, None) == ()
    assert schedule_of({"retry_schedule": [5, 60]}, None) == (5.0, 60.0)
