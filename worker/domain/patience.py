"""An integration's own patience: how long an attempt may take, and when a failed one is repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.domain.event import Refusal
from worker.domain.humanize import duration

#: Seconds; the shortest time limit of an attempt.
SHORTEST_TIMEOUT = 1.0
#: Pauses of one schedule, at most.
MOST_PAUSES = 50
#: Seconds; the shortest and the longest pause.
PAUSES = (1.0, 30 * 86_400.0)


@dataclass(frozen=True, slots=True)
class PatienceLimits:
    """The limits of a deployment, in seconds."""

    #: EDW_WEBHOOK_TIMEOUT_MAX.
    longest_timeout: float = 30.0
    #: EDW_JOB_DEADLINE.
    job_deadline: float = 7 * 86_400.0


#: The limits of a deployment that sets none.
USUAL_LIMITS = PatienceLimits()


def patience_problems(document: Mapping[str, Any], limits: PatienceLimits) -> Iterator[Refusal]:
    """Yield what is wrong with the attributes `timeout` and `retry_schedule` of a create or update."""
    timeout, least, most = document.get("timeout"), SHORTEST_TIMEOUT, limits.longest_timeout
    if timeout is not None and not (_is_number(timeout) and least <= timeout <= most):
        yield Refusal(
            "timeout",
            f"must be seconds, from {least:g} to {most:g} (EDW_WEBHOOK_TIMEOUT_MAX), or null for the deployment's own",
        )
    schedule = document.get("retry_schedule")
    if schedule is not None:
        yield from _schedule_problems(schedule, limits.job_deadline)


def _schedule_problems(schedule: Any, job_deadline: float) -> Iterator[Refusal]:
    if not isinstance(schedule, list | tuple):
        yield Refusal("retry_schedule", "must be a list of pauses in seconds, such as [5, 60], or null")
        return
    if len(schedule) > MOST_PAUSES:
        yield Refusal("retry_schedule", f"must have at most {MOST_PAUSES} pauses, and has {len(schedule)}")
        return
    least, most = PAUSES
    wrong = [at for at, pause in enumerate(schedule) if not (_is_number(pause) and least <= pause <= most)]
    for at in wrong:
        yield Refusal(f"retry_schedule.{at}", f"must be seconds, from {least:g} to {most:,.0f}")
    if not wrong and (total := sum(schedule)) > job_deadline:
        yield Refusal(
            "retry_schedule",
            f"has pauses of {duration(total * 1000)} in all, and a job ends after {duration(job_deadline * 1000)}"
            " (EDW_JOB_DEADLINE)",
        )


def schedule_of(document: Mapping[str, Any], current: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Return the schedule that a valid create or update asks for."""
    given = document.get("retry_schedule", current)
    return None if given is None else tuple(float(pause) for pause in given)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
