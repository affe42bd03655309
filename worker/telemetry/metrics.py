"""Prometheus metrics of a process, each counted where it happens. `deploy/RUNBOOK.md` says what to make of them.

Labels are bounded: types, outcomes, ingresses, scripts; never an id or a URL (but for EDW_METRICS_INTEGRATIONS). The
gauges of the ledger are in worker.telemetry.ledger_gauges: one process of the fleet exposes them for all.

Names follow https://prometheus.io/docs/practices/naming: base units, the unit as a suffix, and `_total` for counters,
which the client adds.
"""

import platform
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import Counter, Gauge, Histogram, Info

from deliverers.contract import Resource
from worker.domain.event import Ingress


class RefusalReason(StrEnum):
    """Why an event was not accepted."""

    #: The producer's mistake: no event, unknown type, too large, another store's.
    INVALID = "invalid"
    #: Its store has used up EDW_STORE_INTAKE_LIMIT.
    ALLOWANCE = "allowance"
    #: The inbox is full or too old, or the ledger takes no more.
    PRESSURE = "pressure"


ACCEPTED = Counter("edw_events_accepted", "Events that the ledger accepted, by ingress.", ("ingress",))
DUPLICATED = Counter("edw_events_duplicated", "Events that were known already, by ingress.", ("ingress",))
REFUSED = Counter(
    "edw_events_refused",
    "Events that were not accepted, by ingress; of `pressure`, requests: they are not read.",
    ("ingress", "reason"),
)

UNMATCHED = Counter("edw_events_unmatched", "Events that no integration observes, by ingress.", ("ingress",))

#: Those of worker.delivery.attempt. An attempt that was lost was another process's, which knew the type.
OUTCOMES = ("delivered", "refused", "unreachable", "gone", "interrupted", "internal")
ATTEMPTS = Counter("edw_attempts", "Attempts, by integration_type and outcome.", ("integration_type", "outcome"))
INTEGRATION_ATTEMPTS = Counter(
    "edw_integration_attempts",
    "Attempts, by integration and outcome; only with EDW_METRICS_INTEGRATIONS.",
    ("integration", "outcome"),
)
DURATION = Histogram(
    "edw_attempt_duration_seconds",
    "From the start of an attempt to its outcome.",
    ("integration_type",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
FIRST_ATTEMPT_DELAY = Histogram(
    "edw_first_attempt_delay_seconds",
    "From an event's acceptance to the start of a job's first attempt; redeliveries and lost attempts not counted.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)
DELIVERED_DELAY = Histogram(
    "edw_delivered_delay_seconds",
    "From an event's acceptance to the receiver's yes; redeliveries not counted.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400, 259200),
)
RETRIES = Counter("edw_retries_scheduled", "Attempts that are to be followed by another.")
JOBS_ENDED = Counter(
    "edw_jobs_ended",
    "Jobs that this process ended, by reason: delivered, exhausted, gone, event_gone, expired (deadline or deletion).",
    ("reason",),
)
EXHAUSTION = Counter(
    "edw_local_exhaustion",
    "Attempts that were not made, and are not spent, because this process lacked a resource of its own, by resource.",
    ("resource",),
)
LOST = Counter("edw_attempts_lost", "Attempts that were under way when their worker died.")
IN_FLIGHT = Gauge("edw_in_flight", "Attempts under way in this process.")
IN_FLIGHT_LIMIT = Gauge(
    "edw_in_flight_limit",
    "Attempts that this process may have under way: EDW_MAX_IN_FLIGHT, or fewer after it lacked a resource of its own.",
)
DISABLED = Counter("edw_integrations_disabled", "Integrations that the fleet disabled: gone, or broken for too long.")
CIRCUITS = Counter("edw_circuit_changes", "Circuits of integrations that opened or closed.", ("state",))
DIALLED = Counter(
    "edw_connections_opened",
    "Connections that were dialled to receivers; all other attempts went over one that was open.",
    ("integration_type",),
)

LEDGER_CALL = Histogram(
    "edw_ledger_call_duration_seconds",
    "Round trips to the ledger: a script's call, waiting for a connection included.",
    ("script",),
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
LEDGER_FAILURES = Counter(
    "edw_ledger_call_failures", "Round trips that the ledger did not answer as asked.", ("script",)
)
LOOP_LAG = Histogram(
    "edw_event_loop_lag_seconds",
    "How much later than it should a timer of the event loop goes off, looked at four times a second.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
HTTP_CONNECTIONS = Gauge(
    "edw_http_connections", "Connections of clients that are open, by server: api or metrics.", ("server",)
)
HTTP_CLOSED = Counter(
    "edw_http_connections_closed",
    "Connections of clients that a limit closed, by server and limit.",
    ("server", "limit"),
)
REQUESTS = Histogram(
    "edw_api_request_duration_seconds",
    "Requests to the API, by operation and class of their status.",
    ("operation", "status"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

# Looking a child up by its labels costs more than counting in it.
_accepted = cache(ACCEPTED.labels)
_duplicated = cache(DUPLICATED.labels)
_unmatched = cache(UNMATCHED.labels)
_refused = cache(REFUSED.labels)
_attempts = cache(ATTEMPTS.labels)
_duration = cache(DURATION.labels)
_ended = cache(JOBS_ENDED.labels)
_call = cache(LEDGER_CALL.labels)
_request = cache(REQUESTS.labels)

# What an alert asks for is there from the start: the first of something is an increase, and not a new series.
for _ingress in Ingress:
    _accepted(_ingress.value), _duplicated(_ingress.value), _unmatched(_ingress.value)
    for _reason in RefusalReason:
        _refused(_ingress.value, _reason.value)
for _end in ("delivered", "exhausted", "gone", "event_gone", "expired"):
    _ended(_end)
for _state in ("open", "closed"):
    CIRCUITS.labels(_state)
for _resource in Resource:
    EXHAUSTION.labels(_resource.value)


def expect_types(integration_types: Iterable[str]) -> None:
    """Has the series of these types there before their first attempt."""
    for kind in integration_types:
        for outcome in OUTCOMES:
            _attempts(kind, outcome)


def track_in_flight(count: Callable[[], int], limit: Callable[[], int]) -> None:
    """Expose the attempts in flight, which `count` returns, and their limit."""
    IN_FLIGHT.set_function(count)
    IN_FLIGHT_LIMIT.set_function(limit)


def build_info() -> None:
    """Expose the version and the Python that run, as `edw_build_info`; once per process."""
    try:
        ours = version("event-delivery-worker")
    except PackageNotFoundError:
        ours = "unknown"
    _build().info({"version": ours, "python": platform.python_version()})


@cache
def _build() -> Info:
    return Info("edw_build", "Which version runs, on which Python.")


def observe_accepted(ingress: Ingress, new: Iterable[bool]) -> None:
    """Counts events that the ledger has: true for each that is new, false for a duplicate."""
    answers = list(new)
    fresh = sum(answers)
    _accepted(ingress.value).inc(fresh)
    if fresh < len(answers):
        _duplicated(ingress.value).inc(len(answers) - fresh)


def observe_refused(ingress: Ingress, reason: RefusalReason, count: int = 1) -> None:
    """Counts events that were not accepted."""
    if count:
        _refused(ingress.value, reason.value).inc(count)


def observe_unmatched(ingress: str) -> None:
    """Counts an event that no integration observes."""
    _unmatched(ingress).inc()


def observe_attempt(integration_type: str, outcome: str, seconds: float) -> None:
    """Counts one attempt and its duration; of one without a type, which was another process's, nobody knows that."""
    _attempts(integration_type, outcome).inc()
    if integration_type:
        _duration(integration_type).observe(seconds)


def observe_exhaustion(resource: Resource) -> None:
    """Count an attempt that was not made for lack of a resource of ours."""
    EXHAUSTION.labels(resource.value).inc()


def observe_integration(integration_id: str, outcome: str) -> None:
    """Counts one attempt at an integration: a series for each of them."""
    INTEGRATION_ATTEMPTS.labels(integration_id, outcome).inc()


def observe_end(reason: str, count: int = 1) -> None:
    """Counts jobs that ended."""
    _ended(reason).inc(count)


def observe_call(script: str, seconds: float) -> None:
    """Counts a round trip to the ledger."""
    _call(script).observe(seconds)


def observe_request(operation: str, status: int, seconds: float) -> None:
    """Counts a request to the API."""
    _request(operation, f"{status // 100}xx").observe(seconds)


def observe_http(server: str, connections: int, closed: Iterable[tuple[str, int]]) -> None:
    """Set how many connections of clients are open, and count those that limits have closed since the last call."""
    HTTP_CONNECTIONS.labels(server).set(connections)
    for limit, count in closed:
        HTTP_CLOSED.labels(server, limit).inc(count)


def dial_counter(integration_type: str) -> Callable[[], None]:
    """What a deliverer of the type calls for each connection that it dials."""
    return DIALLED.labels(integration_type).inc
