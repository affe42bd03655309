"""The promises of the demo: a pure comparison of what was published with what arrived."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from worker.cli.demo.order import EVENT_ID, EXACT_TEXTS, INCLUDED, ORDER, ORG_ID, STORE_ID
from worker.cli.demo.receiver import FIRST_ANSWER, LATER_ANSWER, ReceivedRequest
from worker.domain.integration import Integration
from worker.domain.integration_log import IntegrationLog
from worker.ledger.inspection.ledger_status import LedgerStatus


@dataclass(frozen=True, slots=True)
class Play:
    """The results of a demo that are compared."""

    integration: Integration
    secret: str
    #: The pause of the schedule, in seconds; its jitter is ±20 %.
    backoff: float
    received: Sequence[ReceivedRequest]
    #: The logs of the one job, first attempt first.
    logs: Sequence[IntegrationLog]
    status: LedgerStatus


class _Payload(msgspec.Struct):
    data: msgspec.Raw
    included: msgspec.Raw


class _Body(msgspec.Struct):
    id: str
    triggered_by: str
    attempt: int
    integration: dict[str, Any]
    payload: _Payload
    resources: str
    store_id: str
    org_id: str
    configuration: dict[str, Any]


def differences(play: Play) -> list[str]:
    """Return what differs from the promises, one line each; empty if all were kept."""
    if len(play.received) != 2:
        return [f"the receiver got {len(play.received)} requests instead of 2"]
    return [*_of_requests(play), *_of_logs(play), *_of_status(play.status)]


def _expect(name: str, found: object, expected: object) -> Iterator[str]:
    if found != expected:
        yield f"{name}: expected {expected!r}, got {found!r}"


def _of_requests(play: Play) -> Iterator[str]:
    first, second = play.received
    for number, request in enumerate(play.received, 1):
        yield from (f"attempt {number}: {each}" for each in _of_request(request, number, play))
    yield from _expect("webhook-id of attempt 2", _header(second, "webhook-id"), _header(first, "webhook-id"))
    pause = second.at - first.at
    # The schedule's jitter is ±20 %.
    if pause < play.backoff * 0.75:
        yield f"attempt 2 came {pause:.2f} s after attempt 1, before its backoff of {play.backoff:g} s"


def _of_request(request: ReceivedRequest, number: int, play: Play) -> Iterator[str]:
    yield from _expect("Content-Type", _header(request, "Content-Type"), "application/json")
    if _header(request, "X-MOLTIN-SECRET-KEY") != play.secret:
        yield "X-MOLTIN-SECRET-KEY is not the integration's secret_key"
    if not _header(request, "webhook-timestamp").isdigit():
        yield "webhook-timestamp is missing"
    if play.secret.encode() in request.body:
        yield "the body holds the secret"
    try:
        body = msgspec.json.decode(request.body, type=_Body)
    except msgspec.MsgspecError as error:
        yield f"the body is not what was promised: {error}"
        return
    yield from _of_body(body, number, play.integration)


def _of_body(body: _Body, number: int, integration: Integration) -> Iterator[str]:
    yield from _expect("id", body.id, EVENT_ID)
    yield from _expect("triggered_by", body.triggered_by, "order.paid")
    yield from _expect("attempt", body.attempt, number)
    yield from _expect("store_id", body.store_id, STORE_ID)
    yield from _expect("org_id", body.org_id, ORG_ID)
    yield from _expect("integration.id", body.integration.get("id"), integration.id)
    yield from _expect("configuration", body.configuration, {"url": integration.configuration["url"]})
    payload = bytes(body.payload.data) + bytes(body.payload.included)
    if payload != ORDER + INCLUDED:
        yield "payload is not byte for byte what was published"
    yield from (f"payload has no {text.decode()}" for text in EXACT_TEXTS if text not in payload)
    published = {"data": msgspec.json.decode(ORDER), "included": msgspec.json.decode(INCLUDED)}
    try:
        resources = msgspec.json.decode(body.resources)
    except msgspec.MsgspecError as error:
        yield f"resources is not JSON in a string: {error}"
        return
    if resources != published:
        yield "resources does not parse to what was published"


def _of_logs(play: Play) -> Iterator[str]:
    found = [(log.attempt, log.succeeded, log.status_code, log.body) for log in play.logs]
    expected = [(1, False, *FIRST_ANSWER), (2, True, *LATER_ANSWER)]
    yield from _expect("the logs (attempt, succeeded, status_code, body)", found, expected)
    jobs = {log.job_id for log in play.logs}
    yield from _expect("the logs' job", jobs, {_header(play.received[0], "webhook-id")})
    if play.logs and not play.logs[0].error_detail:
        yield "the first log has no error_detail"


def _of_status(status: LedgerStatus) -> Iterator[str]:
    yield from _expect("the balance of events", status.events_balance, 0)
    yield from _expect("the balance of jobs", status.jobs_balance, 0)
    for name in ("accepted", "matched", "opened", "succeeded"):
        yield from _expect(f"events or jobs {name}", status.counter(name), 1)
    yield from _expect("jobs still pending", status.pending, 0)


def _header(request: ReceivedRequest, name: str) -> str:
    return next((value for known, value in request.headers.items() if known.lower() == name.lower()), "")
