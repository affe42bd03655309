"""What `--json` prints besides the specification's resources (see worker/domain/resources.py)."""

from typing import Any

from worker.domain.event import rfc3339
from worker.ledger.archive_outbox import OutboxLag
from worker.ledger.events.inbox import RejectedMessage
from worker.ledger.inspection.ledger_status import LedgerStatus

Document = dict[str, Any]


def rejected_document(rejected: RejectedMessage) -> Document:
    """Return an entry of the rejected list."""
    return {
        "at": _time(rejected.at),
        "source": rejected.source,
        "field": rejected.field,
        "reason": rejected.reason,
        "given": rejected.given,
    }


def status_document(status: LedgerStatus) -> Document:
    """Return the ledger's status at one moment; ages are in seconds."""
    return {
        "events": {
            **{name: status.counter(name) for name in ("accepted", "unmatched", "filtered", "matched", "set_aside")},
            "inbox": status.inbox,
            "balance": status.events_balance,
        },
        "jobs": {
            **{name: status.counter(name) for name in ("opened", "reopened", "succeeded", "failed", "cancelled")},
            "pending": status.pending,
            "leased": status.leased,
            "balance": status.jobs_balance,
        },
        "balanced": status.events_balance == 0 and status.jobs_balance == 0,
        "counters": dict(status.counters),
        "rejected": status.rejected,
        "processes": status.processes,
        "lanes": [
            {
                "integration": lane.integration_id,
                "name": lane.name or None,
                "due": lane.due,
                "leased": lane.leased,
                "bytes": lane.size,
                "held": lane.held,
                "hold": lane.hold or None,
                "failing_for": lane.failing_for / 1000 if lane.failing_for else None,
                "circuit": lane.circuit or "closed",
                "oldest_due_age": lane.oldest_due_age / 1000 if lane.due else None,
            }
            for lane in status.lanes
        ],
        "lanes_total": status.lanes_total,
        **({"history": _outbox(status.outbox)} if status.outbox else {}),
        "memory": {"used": status.memory_used, "limit": status.memory_limit or None},
    }


def _outbox(outbox: OutboxLag) -> dict[str, object]:
    return {"waiting": outbox.waiting, "lag": outbox.lag / 1000, "audit_lost": outbox.lost}


def _time(milliseconds: int | None) -> str | None:
    return rfc3339(milliseconds) if milliseconds else None
