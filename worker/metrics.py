"""Prometheus metrics of a process; fed by the same record as the log line of an attempt."""

from functools import cache

from prometheus_client import Counter, Histogram

ATTEMPTS = Counter("edw_attempts", "Attempts, by integration_type and outcome.", ("integration_type", "outcome"))
DURATION = Histogram(
    "edw_attempt_duration_seconds",
    "From the start of an attempt to its outcome.",
    ("integration_type",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

DISABLED = Counter("edw_integrations_disabled", "Integrations that the fleet disabled: gone, or broken for too long.")
CIRCUITS = Counter("edw_circuit_changes", "Circuits of integrations that opened or closed.", ("state",))

# Looking a child up by its labels costs more than counting in it.
_attempts = cache(ATTEMPTS.labels)
_duration = cache(DURATION.labels)


def observe_attempt(integration_type: str, outcome: str, seconds: float) -> None:
    """Counts one attempt and its duration."""
    _attempts(integration_type, outcome).inc()
    _duration(integration_type).observe(seconds)
