"""What people are told of lanes: circuits that open, receivers that stay broken, backlogs that fill."""

import structlog

from worker.domain.event import rfc3339
from worker.domain.integration import Integration
from worker.ledger.lanes.claims import FilledLane
from worker.ledger.lanes.settlements import BrokenReceiver, CircuitChange
from worker.telemetry import metrics

_log = structlog.get_logger("edw.telemetry")


def report_circuit(change: CircuitChange) -> None:
    """A circuit opened or closed."""
    metrics.CIRCUITS.labels("open" if change.is_open else "closed").inc()
    if change.is_open:
        # The receiver's trouble: what it is owed waits, and spends no attempts.
        _log.warning("circuit opened", integration=change.integration_id, next_attempt_at=rfc3339(change.until))
    else:
        _log.info("circuit closed", integration=change.integration_id)


def report_broken(receiver: BrokenReceiver) -> None:
    """A receiver does nothing but fail, and may not much longer."""
    _log.warning(
        "receiver stays broken",
        integration=receiver.integration_id,
        failing_since=rfc3339(receiver.since),
        failed_attempts=receiver.attempts,
        percent_of_disable_after=receiver.percent,
    )


def report_disabled(integration: Integration) -> None:
    """The fleet disabled an integration: its receiver answered 410, or did nothing but fail for too long."""
    metrics.DISABLED.inc()
    _log.warning("integration disabled", integration=integration.id, why=integration.disabled_reason)


def report_filled(lane: FilledLane) -> None:
    """A backlog has passed a part of what it may be; when it is full, its oldest jobs are cancelled."""
    _log.warning(
        "backlog fills", integration=lane.integration_id, percent=lane.percent, jobs=lane.jobs, bytes=lane.size
    )
