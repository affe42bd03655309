"""Prometheus metrics of a process. `deploy/RUNBOOK.md` explains how to use them.

Labels have few values: types, outcomes, ingresses, scripts. None is an id or a URL, except with
EDW_METRICS_INTEGRATIONS. The gauges of the ledger are in `worker.telemetry.ledger_gauges`; one process of the fleet
exposes them for all.

Names follow https://prometheus.io/docs/practices/naming: base units with the unit as a suffix. For counters, the client
adds `_total`.
"""

import platform
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import Counter, Gauge, Histogram, Info

from deliverers.contract import Resource
from worker.domain.event import Ingress
from worker.domain.ledger_time import LedgerClock


class RefusalReason(StrEnum):
    """Why an event was not accepted."""

    #: The producer's mistake: malformed, unknown type, too large, or of another store.
    INVALID = "invalid"
    #: The store has used up EDW_STORE_INTAKE_LIMIT.
    ALLOWANCE = "allowance"
    #: The inbox is full, its events are too old, or the ledger accepts no events.
    PRESSURE = "pressure"


ACCEPTED = Counter("edw_events_accepted", "Events that the ledger accepted, by ingress.", ("ingress",))
DUPLICATED = Counter("edw_events_duplicated", "Events that the ledger already had, by ingress.", ("ingress",))
REFUSED = Counter(
    "edw_events_refused",
    "Events that were not accepted, by ingress and reason; for `pressure`, requests, since their bodies are not read.",
    ("ingress", "reason"),
)

UNMATCHED = Counter("edw_events_unmatched", "Events that no integration observes, by ingress.", ("ingress",))
FILTERED = Counter(
    "edw_events_filtered",
    "Events that the filters of all integrations that observe them left out, by ingress.",
    ("ingress",),
)
LEFT_OUT = Counter("edw_deliveries_filtered", "Deliveries of events that the filters of integrations prevented.")

ARCHIVED = Counter(
    "edw_history_archived", "Jobs, events, logs and records of the audit that this process has archived."
)
HISTORY_AWAY = Gauge("edw_history_away", "1 while this process archives and gets no answer from PostgreSQL, else 0.")

#: The outcomes of this process's own attempts. `lost` is not among them: that attempt was another process's, which
#: knew the type.
OUTCOMES = ("delivered", "refused", "unreachable", "gone", "interrupted", "internal")
ATTEMPTS = Counter("edw_attempts", "Attempts, by integration_type and outcome.", ("integration_type", "outcome"))
INTEGRATION_ATTEMPTS = Counter(
    "edw_integration_attempts",
    "Attempts, by integration and outcome; only with EDW_METRICS_INTEGRATIONS.",
    ("integration", "outcome"),
)
DURATION = Histogram(
    "edw_attempt_duration_seconds",
    "Time from the start of an attempt to its outcome.",
    ("integration_type",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
FIRST_ATTEMPT_DELAY = Histogram(
    "edw_first_attempt_delay_seconds",
    "Time from an event's acceptance to a job's first attempt, without redeliveries and lost attempts.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)
DELIVERED_DELAY = Histogram(
    "edw_delivered_delay_seconds",
    "Time from an event's acceptance to its delivery, without redeliveries.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400, 259200),
)
RETRIES = Counter("edw_retries_scheduled", "Failed attempts after which a retry was scheduled.")
JOBS_ENDED = Counter(
    "edw_jobs_ended",
    "Jobs that this process ended, by reason: delivered, exhausted, gone, event_gone, expired (deadline or deletion), "
    "ledger_overflow (backlogs took too much of Redis's memory).",
    ("reason",),
)
EXHAUSTION = Counter(
    "edw_local_exhaustion",
    "Attempts not made (and not counted against the job) because this process lacked a resource, by resource.",
    ("resource",),
)
LOST = Counter("edw_attempts_lost", "Attempts that were under way when their worker died.")
FENCED = Counter("edw_attempts_fenced", "Jobs given back unsent because the lease of this process had run out.")
LAPSED = Counter("edw_lease_lapses", "Times that the lease of this process ran out before it was renewed.")
IN_FLIGHT = Gauge("edw_in_flight", "Attempts under way in this process.")
IN_FLIGHT_LIMIT = Gauge(
    "edw_in_flight_limit",
    "Attempts that this process may have under way: EDW_MAX_IN_FLIGHT, or fewer after it lacked a resource of its own.",
)
DISABLED = Counter("edw_integrations_disabled", "Integrations that the fleet disabled: gone, or broken for too long.")
CIRCUITS = Counter("edw_circuit_changes", "Circuits of integrations that opened or closed.", ("state",))
DIALLED = Counter(
    "edw_connections_opened",
    "Connections opened to receivers; all other attempts used an open one.",
    ("integration_type",),
)

LEDGER_CALL = Histogram(
    "edw_ledger_call_duration_seconds",
    "Duration of a script's call to the ledger, including the wait for a connection.",
    ("script",),
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
LEDGER_FAILURES = Counter("edw_ledger_call_failures", "Calls to the ledger that failed, by script.", ("script",))
LOOP_LAG = Histogram(
    "edw_event_loop_lag_seconds",
    "Delay of a timer of the event loop, measured four times a second.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
HTTP_CONNECTIONS = Gauge("edw_http_connections", "Open connections of clients, by server: api or metrics.", ("server",))
HTTP_CLOSED = Counter(
    "edw_http_connections_closed",
    "Connections of clients that a limit closed, by server and limit.",
    ("server", "limit"),
)
REQUESTS = Histogram(
    "edw_api_request_duration_seconds",
    "Duration of requests to the API, by operation and class of the status.",
    ("operation", "status"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

CLOCK_AHEAD = Gauge(
    "edw_clock_ahead_seconds", "How far this machine's clock is ahead of the ledger's time; negative if it is behind."
)
LEDGER_CLOCK_OFFSET = Gauge(
    "edw_ledger_clock_offset_seconds", "How far the ledger's time is ahead of Redis's clock; negative if it is behind."
)
LEDGER_CLOCK_HELD = Gauge(
    "edw_ledger_clock_held_seconds",
    "The forward leap of Redis's clock that is held back because nothing explains it; 0 is the rule.",
)
CERTIFICATES_ENDING = Gauge(
    "edw_certificates_ending",
    "Integrations that this process delivers to with a certificate that ends within 30 days, or has ended, by state.",
    ("state",),
)
LEFT_TO_NEWER = Counter(
    "edw_left_to_newer",
    "What this process did not understand and left to processes of a newer version, by kind.",
    ("kind",),
)

# Finding a child by its labels takes longer than counting in it.
_accepted = cache(ACCEPTED.labels)
_duplicated = cache(DUPLICATED.labels)
_unmatched = cache(UNMATCHED.labels)
_filtered = cache(FILTERED.labels)
_refused = cache(REFUSED.labels)
_attempts = cache(ATTEMPTS.labels)
_duration = cache(DURATION.labels)
_ended = cache(JOBS_ENDED.labels)
_call = cache(LEDGER_CALL.labels)
_request = cache(REQUESTS.labels)

# Series that alerts use exist from the start; otherwise the first count is a new series, and not an increase.
for _ingress in Ingress:
    _accepted(_ingress.value), _duplicated(_ingress.value), _unmatched(_ingress.value), _filtered(_ingress.value)
    for _reason in RefusalReason:
        _refused(_ingress.value, _reason.value)
for _end in ("delivered", "exhausted", "gone", "event_gone", "expired", "ledger_overflow"):
    _ended(_end)
for _state in ("open", "closed"):
    CIRCUITS.labels(_state)
for _kind in ("message", "event", "lane", "outbox"):
    LEFT_TO_NEWER.labels(_kind)
for _resource in Resource:
    EXHAUSTION.labels(_resource.value)


def observe_clock(clock: LedgerClock, here: float) -> None:
    """Set what this machine's clock (`here`, seconds since 1970) and Redis's are off the ledger's time."""
    CLOCK_AHEAD.set(here - clock.now / 1000)
    LEDGER_CLOCK_OFFSET.set(clock.offset / 1000)
    LEDGER_CLOCK_HELD.set(clock.held / 1000)


def expect_types(integration_types: Iterable[str]) -> None:
    """Create the series of the given types before their first attempt."""
    for kind in integration_types:
        for outcome in OUTCOMES:
            _attempts(kind, outcome)


def track_in_flight(count: Callable[[], int], limit: Callable[[], int]) -> None:
    """Expose the attempts in flight, which `count` returns, and their limit."""
    IN_FLIGHT.set_function(count)
    IN_FLIGHT_LIMIT.set_function(limit)


def build_info() -> None:
    """Expose the versions of this project and of Python as `edw_build_info`; call it once per process."""
    _build().info({"version": build_version(), "python": platform.python_version()})


@cache
def build_version() -> str:
    """Return the version of this project; `unknown` if it is not installed as a package."""
    try:
        return version("event-delivery-worker")
    except PackageNotFoundError:
        return "unknown"


@cache
def _build() -> Info:
    return Info("edw_build", "Version of the Event Delivery Worker and of Python.")


def observe_accepted(ingress: Ingress, new: Iterable[bool]) -> None:
    """Count accepted events: true in `new` for each new one, false for each duplicate."""
    answers = list(new)
    fresh = sum(answers)
    _accepted(ingress.value).inc(fresh)
    if fresh < len(answers):
        _duplicated(ingress.value).inc(len(answers) - fresh)


def observe_refused(ingress: Ingress, reason: RefusalReason, count: int = 1) -> None:
    """Count events that were not accepted."""
    if count:
        _refused(ingress.value, reason.value).inc(count)


def observe_matches(ingress: str, matches: int, filtered: int) -> None:
    """Count an event that no integration gets, and the integrations whose filters left it out."""
    if filtered:
        LEFT_OUT.inc(filtered)
    if not matches:
        (_filtered if filtered else _unmatched)(ingress).inc()


def observe_attempt(integration_type: str, outcome: str, seconds: float) -> None:
    """Count an attempt and its duration. The duration of one without a type, from another process, is unknown."""
    _attempts(integration_type, outcome).inc()
    if integration_type:
        _duration(integration_type).observe(seconds)


def observe_exhaustion(resource: Resource) -> None:
    """Count an attempt that was not made because this process lacked a resource."""
    EXHAUSTION.labels(resource.value).inc()


def observe_integration(integration_id: str, outcome: str) -> None:
    """Count an attempt in the series of its integration."""
    INTEGRATION_ATTEMPTS.labels(integration_id, outcome).inc()


def observe_end(reason: str, count: int = 1) -> None:
    """Count jobs that ended."""
    _ended(reason).inc(count)


def observe_call(script: str, seconds: float) -> None:
    """Count a call to the ledger and its duration."""
    _call(script).observe(seconds)


def observe_request(operation: str, status: int, seconds: float) -> None:
    """Count a request to the API and its duration."""
    _request(operation, f"{status // 100}xx").observe(seconds)


def observe_http(server: str, connections: int, closed: Iterable[tuple[str, int]]) -> None:
    """Set the number of open connections, and count those that limits have closed since the last call."""
    HTTP_CONNECTIONS.labels(server).set(connections)
    for limit, count in closed:
        HTTP_CLOSED.labels(server, limit).inc(count)


def dial_counter(integration_type: str) -> Callable[[], None]:
    """Return the function that a deliverer of the type calls for each connection that it opens."""
    return DIALLED.labels(integration_type).inc
