"""The record of an attempt: what the ledger, the log line and the metrics are told."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from deliverers.contract import Delivered, Gone, Outcome, Refused, Unreachable
from worker.attempts import Attempt, Interrupted, Lost, report
from worker.backoff import Decision, Fail, Retry, Succeed
from worker.events import Scope
from worker.ledger import Claim, StoredEvent, Verdict
from worker.logs import log_id
from worker.parsing import stored_event

JOB = "00000000-0000-0000-0000-000000000001"
EVENT = stored_event(b'{"type":"order.paid","data":{}}', "e-1", Scope())


def an_attempt(outcome: Outcome | Lost | Interrupted, decision: Decision, **changes: Any) -> Attempt:
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
        (Lost(), Retry(0), Verdict.LOST, "", 0, 0),
        (Lost(), Fail("exhausted"), Verdict.FAILED, "exhausted", 0, 0),
        (Interrupted(), Retry(0), Verdict.INTERRUPTED, "", 0, 0),
    ],
)
def test_the_ledger_is_told_what_to_do(
    outcome: Outcome, decision: Decision, verdict: Verdict, reason: str, delay: float, rest: float
) -> None:
    settlement = an_attempt(outcome, decision).settlement()
    assert (settlement.verdict, settlement.reason, settlement.delay, settlement.rest) == (verdict, reason, delay, rest)
    assert (settlement.job_id, settlement.integration_id, settlement.attempt) == (JOB, "i-1", 2)
    assert settlement.scope_key == "org-1/store-1"


@pytest.mark.parametrize(
    ("outcome", "succeeded", "status", "body", "detail"),
    [
        (Delivered(204, "thanks"), True, 204, "thanks", ""),
        (Refused(503, "busy", "answered 503"), False, 503, "busy", "answered 503"),
        (Gone("answered 410", 410, "bye"), False, 410, "bye", "answered 410"),
        (Unreachable("no answer within 10 s"), False, None, "", "no answer within 10 s"),
        (Lost(), False, None, "", Lost().reason),
        (Interrupted(), False, None, "", Interrupted().reason),
    ],
)
def test_the_log_tells_what_came_of_it(
    outcome: Outcome, succeeded: bool, status: int | None, body: str, detail: str
) -> None:
    attempt = an_attempt(outcome, Retry(0))
    log = attempt.log()
    assert (log.succeeded, log.status_code, log.body, log.error_detail) == (succeeded, status, body, detail)
    assert (log.event_id, log.event_type, log.id) == ("e-1", "order.paid", log_id(JOB, 2))
    record = msgspec.json.decode(attempt.settlement().log)
    assert (record["error_detail"], record["processing_time"]) == (detail, 0.123457)
    assert "created_at" not in record


def test_a_lost_and_an_interrupted_attempt_say_that_nobody_knows_what_came_of_them() -> None:
    assert "lost" in Lost().reason
    assert "outcome is unknown" in Lost().reason
    assert "outcome is unknown" in Interrupted().reason


def test_an_attempt_whose_event_is_gone_has_a_log_as_well() -> None:
    log = an_attempt(Unreachable("the event is no longer in the ledger"), Fail("event_gone"), event=None).log()
    assert (log.event_id, log.event_type) == ("", "")


def reported(outcome: Any, decision: Decision, result: str = "settled", **changes: Any) -> dict[str, Any]:
    with capture_logs() as lines:
        report(an_attempt(outcome, decision, **changes), result)
    (line,) = lines
    return dict(line)


def test_one_line_tells_of_a_delivery() -> None:
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


def test_the_metrics_count_what_the_line_says() -> None:
    labels = {"integration_type": "webhook", "outcome": "unreachable"}

    def counted() -> float:
        return REGISTRY.get_sample_value("edw_attempts_total", labels) or 0.0

    before = counted()
    reported(Unreachable("r"), Retry(1))
    assert counted() == before + 1
