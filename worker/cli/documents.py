"""What `--json` prints of the ledger's values: the specification's resources, and what they lack beside them."""

from typing import Any

from worker.events import rfc3339
from worker.integrations import Integration
from worker.jobs import Job
from worker.ledger.intake import Rejected
from worker.ledger.status import LedgerStatus
from worker.logs import IntegrationLog

Document = dict[str, Any]


def integration_document(integration: Integration) -> Document:
    """An Integration; its secrets are masked already."""
    return {
        "id": integration.id,
        "type": "integration",
        "name": integration.name,
        "description": integration.description,
        "enabled": integration.enabled,
        "disabled_reason": integration.disabled_reason or None,
        "integration_type": integration.integration_type,
        "observes": list(integration.observes),
        "configuration": dict(integration.configuration),
        "store_id": integration.scope.store_id,
        "org_id": integration.scope.org_id,
        "meta": {
            "timestamps": {"created_at": _time(integration.created_at), "updated_at": _time(integration.updated_at)}
        },
    }


def job_document(job: Job) -> Document:
    """An IntegrationJob, with its state."""
    return {
        "id": job.id,
        "type": "integration-job",
        "state": job.state.value,
        "reason": job.reason or None,
        "attempts": job.attempts,
        "epoch": job.epoch,
        "event_id": job.event_id,
        "triggered_by": job.event_type,
        "due_at": _time(job.due_at),
        "relationships": {"integration": {"data": {"id": job.integration_id, "type": "integration"}}},
        "meta": {"timestamps": {"created_at": _time(job.opened_at), "ended_at": _time(job.ended_at)}},
    }


def log_document(log: IntegrationLog) -> Document:
    """An IntegrationLog."""
    return {
        "id": log.id,
        # As the specification says; the live service says `integration-log`.
        "type": "integration",
        "succeeded": log.succeeded,
        "attempt": log.attempt,
        "body": log.body,
        "status_code": log.status_code,
        "error_detail": log.error_detail,
        "processing_time": log.processing_time,
        "event_id": log.event_id,
        "triggered_by": log.event_type,
        "relationships": {
            "integration": {"data": {"id": log.integration_id, "type": "integration"}},
            "job": {"data": {"id": log.job_id, "type": "integration-job"}},
        },
        "meta": {"timestamps": {"created_at": _time(log.created_at)}},
    }


def rejected_document(rejected: Rejected) -> Document:
    """Something on the rejected list."""
    return {
        "at": _time(rejected.at),
        "source": rejected.source,
        "field": rejected.field,
        "reason": rejected.reason,
        "given": rejected.given,
    }


def status_document(status: LedgerStatus) -> Document:
    """The ledger at one moment; ages in seconds."""
    return {
        "events": {
            **{name: status.counter(name) for name in ("accepted", "unmatched", "matched", "set_aside")},
            "inbox": status.inbox,
            "balance": status.events_balance,
        },
        "jobs": {
            **{name: status.counter(name) for name in ("opened", "reopened", "succeeded", "failed", "cancelled")},
            "pending": status.pending,
            "balance": status.jobs_balance,
        },
        "balanced": status.events_balance == 0 and status.jobs_balance == 0,
        "counters": dict(status.counters),
        "rejected": status.rejected,
        "processes": status.processes,
        "lanes": [
            {
                "integration": lane.integration_id,
                "due": lane.due,
                "leased": lane.leased,
                "held": lane.held,
                "oldest_due_age": lane.oldest_due_age / 1000 if lane.due else None,
            }
            for lane in status.lanes
        ],
        "lanes_total": status.lanes_total,
        "memory": {"used": status.memory_used, "limit": status.memory_limit or None},
    }


def _time(milliseconds: int | None) -> str | None:
    return rfc3339(milliseconds) if milliseconds else None
