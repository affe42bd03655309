from collections.abc import Callable
from dataclasses import replace

import pytest

from deliverers.contract import Delivery, IntegrationRef
from deliverers.envelopes import webhook_body
from deliverers.webhook import WebhookConfiguration
from worker.cli.demo.order import EVENT_ID, INCLUDED, ORDER, ORG_ID, STORE_ID
from worker.cli.demo.promises import Play, differences
from worker.cli.demo.receiver import FIRST_ANSWER, LATER_ANSWER, ReceivedRequest
from worker.domain.event import Scope
from worker.domain.integration import Integration
from worker.domain.integration_log import IntegrationLog
from worker.ledger.inspection.ledger_status import LedgerStatus

URL = "http://127.0.0.1:1/hooks/orders"
JOB = "00000000-0000-4000-8000-000000000001"


def received(attempt: int) -> ReceivedRequest:
    delivery = Delivery(
        job_id=JOB,
        attempt=attempt,
        epoch=0,
        event_id=EVENT_ID,
        triggered_by="order.paid",
        data=ORDER,
        included=INCLUDED,
        store_id=STORE_ID,
        org_id=ORG_ID,
        time="2026-11-23T20:41:00Z",
        source=None,
        integration=IntegrationRef("integration-1", "webhook", "Warehouse", ""),
        configuration=WebhookConfiguration(url=URL),
    )
    headers = {
        "Content-Type": "application/json",
        "X-Moltin-Secret-Key": "s3cret",
        "webhook-id": JOB,
        "webhook-timestamp": "1795470040",
    }
    return ReceivedRequest(headers, webhook_body(delivery), 503 if attempt == 1 else 200, 1.0 + attempt)


def log(attempt: int) -> IntegrationLog:
    status, body = LATER_ANSWER if attempt == 2 else FIRST_ANSWER
    return IntegrationLog(
        JOB, "integration-1", attempt, attempt == 2, body, status, "" if attempt == 2 else "503", 0.01
    )


KEPT = Play(
    integration=Integration(
        "integration-1", Scope(ORG_ID, STORE_ID), "Warehouse", "webhook", ("order.paid",), {"url": URL}
    ),
    secret="s3cret",
    backoff=1.0,
    received=[received(1), received(2)],
    logs=[log(1), log(2)],
    status=LedgerStatus(
        counters={"accepted": 1, "matched": 1, "opened": 1, "succeeded": 1},
        inbox=0,
        inbox_overdue=-1,
        pending=0,
        leased=0,
        processes=1,
        lanes=(),
        lanes_total=0,
        rejected=0,
        memory_used=0,
        memory_limit=0,
    ),
)


def second(change: Callable[[ReceivedRequest], ReceivedRequest]) -> Play:
    return replace(KEPT, received=[KEPT.received[0], change(KEPT.received[1])])


def with_body(old: bytes, new: bytes) -> Play:
    assert old in KEPT.received[1].body
    return second(lambda request: replace(request, body=request.body.replace(old, new)))


def with_header(name: str, value: str) -> Play:
    return second(lambda request: replace(request, headers={**request.headers, name: value}))


def test_nothing_differs_where_all_was_kept() -> None:
    assert differences(KEPT) == []


@pytest.mark.parametrize(
    ("play", "named"),
    [
        (replace(KEPT, received=KEPT.received[:1]), "1 requests instead of 2"),
        (with_body(b"149.90", b"149.9"), "byte for byte"),
        (with_body(b'"attempt":2', b'"attempt":1'), "attempt 2: attempt"),
        (with_body(EVENT_ID.encode(), b"another"), "attempt 2: id"),
        (with_body(b'"resources":"{', b'"resources":"{ not'), "resources"),
        (with_body(b'"url":', b'"secret_key":"s3cret","url":'), "the body holds the secret"),
        (with_body(b"{", b""), "is not what was promised"),
        (with_header("X-Moltin-Secret-Key", "other"), "X-MOLTIN-SECRET-KEY"),
        (with_header("webhook-id", "other"), "webhook-id of attempt 2"),
        (with_header("webhook-timestamp", ""), "webhook-timestamp"),
        (second(lambda request: replace(request, at=KEPT.received[0].at + 0.1)), "before its backoff"),
        (replace(KEPT, logs=KEPT.logs[:1]), "the logs"),
        (replace(KEPT, logs=[replace(log(1), succeeded=True), log(2)]), "the logs"),
        (replace(KEPT, logs=[replace(log(1), error_detail=""), log(2)]), "error_detail"),
        (replace(KEPT, status=replace(KEPT.status, pending=1)), "balance of jobs"),
        (replace(KEPT, status=replace(KEPT.status, inbox=1)), "balance of events"),
    ],
)
def test_what_differs_is_named(play: Play, named: str) -> None:
    assert any(named in each for each in differences(play)), differences(play)
