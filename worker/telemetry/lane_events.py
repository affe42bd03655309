"""Log events and metrics of lanes: circuits, broken receivers, disabled integrations, filling and cut backlogs."""

import structlog

from worker.domain.event import rfc3339
from worker.domain.integration import Integration
from worker.ledger.fleet import CutBacklog
from worker.ledger.lanes.claims import FilledLane
from worker.ledger.lanes.settlements import BrokenReceiver, CircuitChange
from worker.telemetry import metrics

_log = structlog.get_logger("edw.telemetry")


def report_circuit(change: CircuitChange) -> None:
    """Report a circuit that opened or closed."""
    metrics.CIRCUITS.labels("open" if change.is_open else "closed").inc()
    if change.is_open:
        # A warning, since the fault is the receiver's: its jobs wait and spend no attempts.
        _log.warning("circuit opened", integration=change.integration_id, next_attempt_at=rfc3339(change.until))
    else:
        _log.info("circuit closed", integration=change.integration_id)


def report_broken(receiver: BrokenReceiver) -> None:
    """Report a receiver that only fails, and whose integration will soon be disabled for that."""
    _log.warning(
        "receiver stays broken",
        integration=receiver.integration_id,
        failing_since=rfc3339(receiver.since),
        failed_attempts=receiver.attempts,
        percent_of_disable_after=receiver.percent,
    )


def report_disabled(integration: Integration) -> None:
    """Report an integration that the fleet disabled: its receiver answered 410, or only failed for too long."""
    metrics.DISABLED.inc()
    _log.warning("integration disabled", integration=integration.id, why=integration.disabled_reason)


def report_filled(lane: FilledLane) -> None:
    """Report a backlog that passed a percentage of its limit; a full one cancels its oldest jobs."""
    _log.warning(
        "backlog fills", integration=lane.integration_id, percent=lane.percent, jobs=lane.jobs, bytes=lane.size
    )


def report_cut(backlog: CutBacklog) -> None:
    """Report jobs that were cancelled because all backlogs together took too much of Redis's memory."""
    metrics.observe_end("ledger_overflow", backlog.jobs)
    _log.error(
        "backlog cut",
        integration=backlog.lane,
        jobs=backlog.jobs,
        bytes=backlog.bytes,
        all_bytes=backlog.sum,
        why="all backlogs together take more than EDW_BACKLOG_MEMORY of Redis's memory",
    )
