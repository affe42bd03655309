"""The specification's resources as the API and `--json` show them, and what they lack beside them.

The types are what `/openapi.json` is made of. What there is not is left out rather than null, where the specification
gives a type that knows no null.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from worker.domain.event import rfc3339
from worker.domain.integration import Integration
from worker.domain.integration_log import IntegrationLog
from worker.domain.job import Job, JobState

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2026-11-24T07:00:00.000Z"])]
Id = Annotated[str, Meta(examples=["2da46671-b4c2-44ac-b133-d1221aafc77b"])]


class Timestamps(Struct, frozen=True):
    """When it was made, changed, and over."""

    created_at: Time | UnsetType = UNSET
    updated_at: Time | UnsetType = UNSET
    ended_at: Time | UnsetType = UNSET


class Circuit(Struct, frozen=True):
    """Of an integration whose receiver fails: nothing is tried until then, or one attempt at a time (`half`)."""

    state: Literal["open", "half"]
    until: Time | UnsetType = UNSET


class Failing(Struct, frozen=True):
    """Of an integration with nothing but failures: since when, and how many. It may be disabled for it."""

    since: Time
    attempts: int


class ResourceMeta(Struct, frozen=True):
    """What there is to say about a resource."""

    timestamps: Timestamps
    #: Not there while the circuit is closed, as it should be.
    circuit: Circuit | UnsetType = UNSET
    #: Not there where the last attempt did well.
    failing: Failing | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET


class Links(Struct, frozen=True):
    """Where the resource is."""

    self: Annotated[str, Meta(extra_json_schema={"format": "uri"})]


class IntegrationDocument(Struct, frozen=True):
    """A subscription: what it observes, and where its events go. Secrets are masked."""

    id: Id
    name: str
    description: str
    enabled: bool
    #: Its events are matched, and wait.
    paused: bool
    integration_type: str
    observes: list[str]
    configuration: dict[str, Any]
    meta: ResourceMeta
    type: Literal["integration"] = "integration"
    #: Deliveries a second; not there where it has no limit.
    rate_limit: Annotated[float, Meta(gt=0)] | UnsetType = UNSET
    #: Why the worker disabled it; not there where it did not.
    disabled_reason: str | UnsetType = UNSET
    store_id: str | UnsetType = UNSET
    org_id: str | UnsetType = UNSET
    links: Links | UnsetType = UNSET


class Identifier(Struct, frozen=True):
    """Another resource, by type and id."""

    id: Id
    type: str


class Related(Struct, frozen=True):
    """A relationship to one resource."""

    data: Identifier


class LogRelationships(Struct, frozen=True):
    """Whose attempt it was."""

    integration: Related
    job: Related


class LogDocument(Struct, frozen=True):
    """An IntegrationLog: what came of one attempt."""

    id: Id
    succeeded: bool
    attempt: Annotated[int, Meta(ge=1)]
    #: What the receiver answered.
    body: str
    error_detail: str
    #: Seconds.
    processing_time: float
    event_id: str
    triggered_by: str
    relationships: LogRelationships
    meta: ResourceMeta
    #: As the specification says; the live service says `integration-log`.
    type: Literal["integration"] = "integration"
    #: Not there where the receiver gave none.
    status_code: int | UnsetType = UNSET


class JobRelationships(Struct, frozen=True):
    """To whom it is owed."""

    integration: Related


class JobDocument(Struct, frozen=True):
    """An IntegrationJob: one event owed to one integration."""

    id: Id
    state: JobState
    attempts: Annotated[int, Meta(ge=0)]
    #: How often it was redelivered.
    epoch: Annotated[int, Meta(ge=0)]
    event_id: str
    triggered_by: str
    relationships: JobRelationships
    meta: ResourceMeta
    type: Literal["integration-job"] = "integration-job"
    #: Why it ended: exhausted, deadline, gone, lane_overflow, integration_deleted.
    reason: str | UnsetType = UNSET
    #: Not there while an attempt is in flight, and after the job's end.
    next_attempt_at: Time | UnsetType = UNSET


def integration_document(
    integration: Integration, link: str | None = None, warnings: list[str] | None = None
) -> IntegrationDocument:
    """An Integration; its secrets are masked already."""
    return IntegrationDocument(
        id=integration.id,
        name=integration.name,
        description=integration.description,
        enabled=integration.enabled,
        paused=integration.paused,
        rate_limit=UNSET if integration.rate_limit is None else integration.rate_limit,
        integration_type=integration.integration_type,
        observes=list(integration.observes),
        configuration=dict(integration.configuration),
        disabled_reason=integration.disabled_reason or UNSET,
        store_id=integration.scope.store_id or UNSET,
        org_id=integration.scope.org_id or UNSET,
        meta=ResourceMeta(
            Timestamps(_time(integration.created_at), _time(integration.updated_at)),
            circuit=_circuit(integration),
            failing=_failing(integration),
            warnings=warnings or UNSET,
        ),
        links=Links(link) if link else UNSET,
    )


def job_document(job: Job) -> JobDocument:
    """An IntegrationJob, with its state."""
    return JobDocument(
        id=job.id,
        state=job.state,
        reason=job.reason or UNSET,
        attempts=job.attempts,
        epoch=job.epoch,
        event_id=job.event_id,
        triggered_by=job.event_type,
        next_attempt_at=_time(job.due_at),
        relationships=JobRelationships(_related(job.integration_id, "integration")),
        meta=ResourceMeta(Timestamps(_time(job.opened_at), ended_at=_time(job.ended_at))),
    )


def log_document(log: IntegrationLog) -> LogDocument:
    """An IntegrationLog."""
    return LogDocument(
        id=log.id,
        succeeded=log.succeeded,
        attempt=log.attempt,
        body=log.body,
        status_code=UNSET if log.status_code is None else log.status_code,
        error_detail=log.error_detail,
        processing_time=round(log.processing_time, 6),
        event_id=log.event_id,
        triggered_by=log.event_type,
        relationships=LogRelationships(
            _related(log.integration_id, "integration"), _related(log.job_id, "integration-job")
        ),
        meta=ResourceMeta(Timestamps(_time(log.created_at))),
    )


def change_data(integration: Integration) -> Mapping[str, Any]:
    """What an event of the registry tells of an integration; its secrets are masked already."""
    return {
        "type": "integration",
        "id": integration.id,
        "name": integration.name,
        "description": integration.description,
        "enabled": integration.enabled,
        "paused": integration.paused,
        **({"rate_limit": integration.rate_limit} if integration.rate_limit is not None else {}),
        **({"disabled_reason": integration.disabled_reason} if integration.disabled_reason else {}),
        "integration_type": integration.integration_type,
        "observes": list(integration.observes),
        "configuration": dict(integration.configuration),
    }


def _circuit(integration: Integration) -> Circuit | UnsetType:
    match integration.circuit:
        case "open":
            return Circuit("open", _time(integration.circuit_until))
        case "half":
            return Circuit("half")
    return UNSET


def _failing(integration: Integration) -> Failing | UnsetType:
    since = _time(integration.failing_since)
    return UNSET if isinstance(since, UnsetType) else Failing(since, integration.failing_attempts)


def _related(identity: str, kind: str) -> Related:
    return Related(Identifier(identity, kind))


def _time(milliseconds: int | None) -> str | UnsetType:
    return rfc3339(milliseconds) if milliseconds else UNSET
