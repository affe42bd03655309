"""The record of an attempt: what the ledger, the log line and the metrics get."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from deliverers.contract import Counted, Delivered, Gone, Refused, Unreachable
from worker.delivery.settlement import settlement_of
from worker.domain.attempt import Attempt, InterruptedAttempt, LostAttempt
from worker.domain.claim import Claim
from worker.domain.event import Scope
from worker.domain.event_parser import stored_event
from worker.domain.integration_log import log_id
from worker.domain.retry_policy import Decision, Fail, Retry, Succeed
from worker.domain.stored_event import StoredEvent
from worker.ledger import Verdict
from worker.telemetry.attempt_reporter import AttemptReporter
from worker.telemetry.redis_clock import RedisClock

JOB = "00000000-0000-0000-0000-000000000001"
EVENT = stored_event(b'{"type":"order.paid","data":{}}', "e-1", Scope())
PERSONAL = stored_event(b'{"type":"order.paid","data":{"card":"4111"}}', "e-2", Scope())


def an_attempt(outcome: Counted | LostAttempt | InterruptedAttempt, decision: Decision, **changes: Any) -> Attempt:
    claim = Claim(JOB, "i-1", 1, "org-1/store-1", "ref", attempt=2, event=StoredEvent("ref", EVENT, 0))
    claim = replace(claim, **changes)
    return Attempt(claim, "webhook", outcome, decision, 0.1234567)


@pytest.mark.parametrize(
    ("outcome", "decision", "verdict", "reason", "delay", "rest"),
    [
        (Delivered(200, "ok"), Succeed(), Verdict.SUCCEEDED, "", 0, 0),
        (Refused(503, "no", "r"), Retry(5, 60), Verdict.RETRY, "", 5, 60),
        (Unreachable("r"), Retry(5), Verdict.RETRY, "", 5, 0),
        (Unreachable("r"), Fail("exhausted"), Verdict.FAILED, "exhausted", 0, 0),
        (Gone("r"), Fail("gone", "r"), Verdict.FAILED, "gone", 0, 0),
        (LostAttempt(), Retry(0), Verdict.RETRY, "", 0, 0),
        (LostAttempt(), Fail("exhausted"), Verdict.FAILED, "exhausted", 0, 0),
        (InterruptedAttempt(), Retry(0), Verdict.RETRY, "", 0, 0),
    ],
)
def test_the_ledger_learns_what_to_do(
    outcome: Counted, decision: Decision, verdict: Verdict, reason: str, delay: float, rest: float
) -> None:
    settlement = settlement_of(an_attempt(outcome, decision))
    assert (settlement.verdict, settlement.reason, settlement.delay, settlement.rest) == (verdict, reason, delay, rest)
    assert (settlement.job_id, settlement.integration_id, settlement.attempt) == (JOB, "i-1", 2)
    assert settlement.scope_key == "org-1/store-1"
    assert settlement.lost == isinstance(outcome, LostAttempt)


@pytest.mark.parametrize(
    ("outcome", "succeeded", "status", "body", "detail"),
    [
        (Delivered(204, "thanks"), True, 204, "thanks", ""),
        (Refused(503, "busy", "answered 503"), False, 503, "busy", "answered 503"),
        (Gone("answered 410", 410, "bye"), False, 410, "bye", "answered 410"),
        (Unreachable("no answer within 10 s"), False, None, "", "no answer within 10 s"),
        (LostAttempt(), False, None, "", LostAttempt().reason),
        (InterruptedAttempt(), False, None, "", InterruptedAttempt().reason),
    ],
)
def test_the_log_says_what_came_of_it(
    outcome: Counted, succeeded: bool, status: int | None, body: str, detail: str
) -> None:
    attempt = an_attempt(outcome, Retry(0))
    log = attempt.log()
    assert (log.succeeded, log.status_code, log.body, log.error_detail) == (succeeded, status, body, detail)
    assert (log.event_id, log.event_type, log.id) == ("e-1", "order.paid", log_id(JOB, 2))
    assert settlement_of(attempt).log == log


def test_a_lost_and_an_interrupted_attempt_say_that_nobody_knows_what_came_of_them() -> None:
    assert "lost" in LostAttempt().reason
    assert "outcome is unknown" in LostAttempt().reason
    assert "outcome is unknown" in InterruptedAttempt().reason


def test_an_attempt_whose_event_is_gone_has_a_log_as_well() -> None:
    log = an_attempt(Unreachable("the event is no longer in the ledger"), Fail("event_gone"), event=None).log()
    assert (log.event_id, log.event_type) == ("", "")


def log_line(
    attempt: Attempt, result: str = "settled", clock: RedisClock | None = None, **options: bool
) -> dict[str, Any]:
    with capture_logs() as lines:
        AttemptReporter(clock or RedisClock(), **options)(attempt, result)
    (line,) = lines
    return dict(line)


def reported(outcome: Any, decision: Decision, result: str = "settled", **changes: Any) -> dict[str, Any]:
    return log_line(an_attempt(outcome, decision, **changes), result)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@contextmanager
def counting(name: str, expected: float, **labels: str) -> Iterator[None]:
    before = counted(name, **labels)
    yield
    assert counted(name, **labels) - before == expected, name


@pytest.fixture
def clock() -> RedisClock:
    """A Redis server whose clock is ten minutes ahead of this process's."""
    found = RedisClock()
    found.note(1000.0, 1000.0, 1600.0)
    return found


def test_one_line_reports_a_delivery() -> None:
    assert reported(Delivered(200, "body"), Succeed()) == {
        "event": "attempt",
        "log_level": "info",
        "outcome": "delivered",
        "attempt": 2,
        "job": JOB,
        "integration": "i-1",
        "integration_type": "webhook",
        "event_id": "e-1",
        "event_type": "order.paid",
        "scope": "org-1/store-1",
        "status": 200,
        "duration": 0.123457,
    }


def test_a_receivers_failure_is_a_warning_and_says_what_follows() -> None:
    line = reported(Refused(503, "body", "answered 503"), Retry(5.00049, 60))
    assert (line["log_level"], line["reason"], line["retry_in"]) == ("warning", "answered 503", 5.0)
    line = reported(Gone("answered 410"), Fail("gone", "answered 410"))
    assert (line["log_level"], line["job_failed"]) == ("warning", "gone")


def test_an_outcome_that_the_ledger_did_not_take_as_settled_says_so() -> None:
    assert reported(Delivered(200, ""), Succeed(), "late")["settled"] == "late"
    assert reported(Unreachable("r"), Retry(1), "stale", event=None)["event_id"] is None


@pytest.mark.parametrize("decision", [Retry(3600), Fail("gone", "answered 410")])
def test_a_failure_of_an_old_configuration_says_that_its_job_is_due_now(decision: Decision) -> None:
    line = reported(Unreachable("r"), decision, "renewed")
    assert (line["settled"], line["retry_in"]) == ("renewed", 0)
    assert "job_failed" not in line


def test_a_receivers_failure_is_a_warning_and_ours_is_an_error() -> None:
    broken = replace(an_attempt(Unreachable("internal error of the deliverer: KeyError"), Retry(1)), ours=True)
    line = log_line(broken)
    assert (line["log_level"], line["outcome"]) == ("error", "internal")
    lost = log_line(replace(an_attempt(LostAttempt(), Retry(1)), ours=True))
    assert (lost["log_level"], lost["outcome"]) == ("error", "lost")
    assert reported(InterruptedAttempt(), Retry(0))["log_level"] == "warning", "somebody stopped the worker on purpose"


def test_of_an_attempt_that_was_lost_nobody_knows_how_long_it_took() -> None:
    durations = "edw_attempt_duration_seconds_count"
    with (
        counting("edw_attempts_total", 1, integration_type="", outcome="lost"),
        counting(durations, 1, integration_type="webhook"),
    ):
        log_line(replace(an_attempt(LostAttempt(), Retry(1)), integration_type=""))
        log_line(an_attempt(Delivered(200, ""), Succeed()))
    assert REGISTRY.get_sample_value(durations, {"integration_type": ""}) is None


def test_the_line_names_the_celery_task_and_the_epoch_where_there_is_one() -> None:
    line = log_line(replace(an_attempt(Delivered(200, ""), Succeed(), epoch=2), task="t-1"))
    assert (line["task"], line["epoch"]) == ("t-1", 2)
    assert not {"task", "epoch", "delay"} & set(reported(Delivered(200, ""), Succeed()))


def test_the_line_has_what_was_sent_and_answered_only_where_a_setting_says_so() -> None:
    attempt = an_attempt(Delivered(200, "thanks"), Succeed(), event=StoredEvent("ref", PERSONAL, 0))
    assert "4111" not in repr(log_line(attempt))
    assert "thanks" not in repr(log_line(attempt))
    line = log_line(attempt, payloads=True)
    assert (line["payload"], line["answer"]) == ('{"card":"4111"}', "thanks")


def test_the_metrics_count_what_the_line_says() -> None:
    with counting("edw_attempts_total", 1, integration_type="webhook", outcome="unreachable"):
        reported(Unreachable("r"), Retry(1))


def test_retries_and_ends_are_counted_once_the_ledger_has_taken_them() -> None:
    with counting("edw_retries_scheduled_total", 1):
        reported(Unreachable("r"), Retry(1))
        reported(Unreachable("r"), Retry(1), "stale")
    with counting("edw_retries_scheduled_total", 2), counting("edw_jobs_ended_total", 0, reason="gone"):
        reported(Unreachable("r"), Retry(1), "renewed")
        reported(Gone("answered 410"), Fail("gone", "answered 410"), "renewed")
    with counting("edw_jobs_ended_total", 1, reason="exhausted"):
        reported(Unreachable("r"), Fail("exhausted"))
        reported(Unreachable("r"), Fail("exhausted"), "stale")
    with counting("edw_jobs_ended_total", 2, reason="delivered"):
        reported(Delivered(200, ""), Succeed())
        reported(Delivered(200, ""), Succeed(), "late")
        reported(Delivered(200, ""), Succeed(), "stale")


def test_delays_are_measured_by_the_redis_servers_clock(clock: RedisClock) -> None:
    # Accepted at 1700 by the clock of Redis, which this process's calls 1100; begun half a second later.
    event = StoredEvent("ref", EVENT, 1_700_000)
    first = replace(an_attempt(Delivered(200, ""), Succeed(), attempt=1, event=event), began=1100.5)
    with (
        counting("edw_first_attempt_delay_seconds_sum", 0.5),
        counting("edw_delivered_delay_seconds_count", 1),
        counting("edw_delivered_delay_seconds_bucket", 0, le="0.5"),
        counting("edw_delivered_delay_seconds_bucket", 1, le="1.0"),
    ):
        assert log_line(first, clock=clock)["delay"] == 0.5


def test_only_a_first_attempt_counts_as_first_and_nothing_that_is_owed_anew_as_late(clock: RedisClock) -> None:
    event = StoredEvent("ref", EVENT, 1_700_000)
    second = replace(an_attempt(Delivered(200, ""), Succeed(), attempt=2, event=event), began=1100.5)
    again = replace(an_attempt(Delivered(200, ""), Succeed(), attempt=1, event=event, epoch=1), began=1100.5)
    with counting("edw_first_attempt_delay_seconds_count", 0), counting("edw_delivered_delay_seconds_count", 1):
        log_line(second, clock=clock)
        log_line(again, clock=clock)
        log_line(an_attempt(LostAttempt(), Retry(1), attempt=1, event=event), clock=clock)


def test_integrations_are_counted_only_where_a_setting_says_so() -> None:
    with counting("edw_integration_attempts_total", 1, integration="i-1", outcome="delivered"):
        reported(Delivered(200, ""), Succeed())
        log_line(an_attempt(Delivered(200, ""), Succeed()), integrations=True)


def test_a_clock_that_never_asked_redis_knows_nothing_and_a_delay_is_never_negative(clock: RedisClock) -> None:
    assert RedisClock().since(0.0) is None
    assert clock.since(1700.0, 1099.0) == 0.0
    clock.note(2000.0, 2000.2, 2600.0)
    assert clock.since(2600.0, 2000.1) == pytest.approx(0.0), "the answer was made in the middle of its round trip"
    assert clock.since(2600.0, 2001.1) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("outcome", "ours", "healthy"),
    [
        (Delivered(200, "ok"), False, True),
        (Refused(500, "no", "r"), False, False),
        (Unreachable("r"), False, False),
        # A missing key or a plug-in's bug opens no circuit, and disables nobody.
        (Unreachable("no key opens its secret"), True, None),
        (LostAttempt(), True, None),
        (InterruptedAttempt(), False, None),
    ],
)
def test_only_what_a_receiver_did_speaks_for_or_against_it(
    outcome: Counted | LostAttempt | InterruptedAttempt, ours: bool, healthy: bool | None
) -> None:
    attempt = replace(an_attempt(outcome, Retry(1.0)), ours=ours)
    assert attempt.healthy is healthy
    assert settlement_of(attempt).healthy is healthy
