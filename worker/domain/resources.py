"""The specification's resources as the API and `--json` show them, with the properties that the worker adds.

`/openapi.json` is generated from these types. A property without a value is left out rather than null if the
specification gives it a type that does not allow null.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from deliverers.exchange import ReceivedAnswer, SentRequest
from worker.domain.change import Change, ChangeAction
from worker.domain.event import rfc3339
from worker.domain.integration import Integration, patience_of
from worker.domain.integration_log import IntegrationLog
from worker.domain.job import Job, JobState

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2026-11-24T07:00:00.000Z"])]
Id = Annotated[str, Meta(examples=["2da46671-b4c2-44ac-b133-d1221aafc77b"])]


class Timestamps(Struct, frozen=True):
    """When the resource was created, when it was updated, and when it ended."""

    created_at: Time | UnsetType = UNSET
    updated_at: Time | UnsetType = UNSET
    ended_at: Time | UnsetType = UNSET


class Circuit(Struct, frozen=True):
    """The circuit of an integration whose receiver fails.

    `open`: the worker makes no attempt before `until`. `half`: it makes one attempt at a time.
    """

    state: Literal["open", "half"]
    until: Time | UnsetType = UNSET


class Failing(Struct, frozen=True):
    """The consecutive failures of an integration: their start and number. The worker may disable it for them."""

    since: Time
    attempts: int


class ResourceMeta(Struct, frozen=True):
    """Information about a resource."""

    timestamps: Timestamps
    #: Absent while the circuit is closed, which is the normal state.
    circuit: Circuit | UnsetType = UNSET
    #: Absent if the last attempt succeeded.
    failing: Failing | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET


class Links(Struct, frozen=True):
    """The URL of the resource."""

    self: Annotated[str, Meta(extra_json_schema={"format": "uri"})]


class IntegrationDocument(Struct, frozen=True):
    """A subscription: the events that it observes, and where they are delivered. Secrets are masked."""

    id: Id
    name: str
    description: str
    enabled: bool
    #: While it is paused, its events are matched and wait.
    paused: bool
    integration_type: str
    observes: list[str]
    configuration: dict[str, Any]
    meta: ResourceMeta
    type: Literal["integration"] = "integration"
    #: Deliveries per second; absent if there is no limit.
    rate_limit: Annotated[float, Meta(gt=0)] | UnsetType = UNSET
    #: Time limit of an attempt in seconds; absent for the deployment's.
    timeout: float | UnsetType = UNSET
    #: The pause after each failed attempt, in seconds; absent for the deployment's.
    retry_schedule: list[float] | UnsetType = UNSET
    #: The pattern that its events must match; absent if it gets all the events that it observes.
    filter: dict[str, Any] | UnsetType = UNSET
    #: Why the worker disabled it; absent if the worker did not.
    disabled_reason: str | UnsetType = UNSET
    store_id: str | UnsetType = UNSET
    org_id: str | UnsetType = UNSET
    links: Links | UnsetType = UNSET


class Identifier(Struct, frozen=True):
    """The type and id of another resource."""

    id: Id
    type: str


class Related(Struct, frozen=True):
    """A relationship to one resource."""

    data: Identifier


class LogRelationships(Struct, frozen=True):
    """The integration and the job of the attempt."""

    integration: Related
    job: Related


class RequestDocument(Struct, frozen=True):
    """The request of an attempt as it was sent. Secrets are masked."""

    #: For a message queue its operation, such as SEND.
    method: str
    url: str
    headers: list[tuple[str, str]]
    body_bytes: int
    #: The receiver's address; absent if it is not public and the configuration does not name it.
    peer: str | UnsetType = UNSET


class ResponseDocument(Struct, frozen=True):
    """The head of the receiver's answer; the log has the body."""

    status_line: str
    headers: list[tuple[str, str]]


class TimesDocument(Struct, frozen=True):
    """Seconds that the phases of an attempt took. A connection that was open already needs only the first byte."""

    total: float
    dns: float | UnsetType = UNSET
    connect: float | UnsetType = UNSET
    tls: float | UnsetType = UNSET
    first_byte: float | UnsetType = UNSET


class LogDocument(Struct, frozen=True):
    """An IntegrationLog: the outcome of one attempt."""

    id: Id
    succeeded: bool
    attempt: Annotated[int, Meta(ge=1)]
    #: The body of the receiver's answer.
    body: str
    error_detail: str
    #: Seconds.
    processing_time: float
    event_id: str
    triggered_by: str
    relationships: LogRelationships
    meta: ResourceMeta
    #: As in the specification; the public service says `integration-log`.
    type: Literal["integration"] = "integration"
    #: Absent if the receiver sent none.
    status_code: int | UnsetType = UNSET
    times: TimesDocument | UnsetType = UNSET
    #: Kept for the last failures of an integration, as EDW_LOG_EXCHANGE says.
    request: RequestDocument | UnsetType = UNSET
    response: ResponseDocument | UnsetType = UNSET


class JobRelationships(Struct, frozen=True):
    """The integration that the event is to be delivered to."""

    integration: Related


class JobDocument(Struct, frozen=True):
    """An IntegrationJob: one event owed to one integration."""

    id: Id
    state: JobState
    attempts: Annotated[int, Meta(ge=0)]
    #: How often the job was redelivered.
    epoch: Annotated[int, Meta(ge=0)]
    event_id: str
    triggered_by: str
    relationships: JobRelationships
    meta: ResourceMeta
    type: Literal["integration-job"] = "integration-job"
    #: Why the job ended: exhausted, deadline, gone, lane_overflow, ledger_overflow, integration_deleted, erased.
    reason: str | UnsetType = UNSET
    #: Absent while an attempt is in flight, and after the job's end.
    next_attempt_at: Time | UnsetType = UNSET


def integration_document(
    integration: Integration, link: str | None = None, warnings: list[str] | None = None
) -> IntegrationDocument:
    """Return an Integration as the API shows it. The caller has masked its secrets."""
    return IntegrationDocument(
        id=integration.id,
        name=integration.name,
        description=integration.description,
        enabled=integration.enabled,
        paused=integration.paused,
        rate_limit=UNSET if integration.rate_limit is None else integration.rate_limit,
        **patience_of(integration),
        filter=UNSET if integration.filter is None else dict(integration.filter),
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
    """Return an IntegrationJob as the API shows it."""
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
    """Return an IntegrationLog as the API shows it."""
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
        times=_times(log),
        request=_request(log.exchange.request if log.exchange else None),
        response=_response(log.exchange.answer if log.exchange else None),
        relationships=LogRelationships(
            _related(log.integration_id, "integration"), _related(log.job_id, "integration-job")
        ),
        meta=ResourceMeta(Timestamps(_time(log.created_at))),
    )


class ChangeAuthor(Struct, frozen=True):
    """The author of a change: a token, or a user of the command line, who has none."""

    name: str
    token_id: str | UnsetType = UNSET


class ChangeDocument(Struct, frozen=True):
    """A change that a person made: the attributes that changed, as they were and as they are. Secrets are masked."""

    id: Id
    action: ChangeAction
    author: ChangeAuthor
    #: What was changed.
    subject: Identifier
    before: dict[str, Any]
    after: dict[str, Any]
    meta: ResourceMeta
    type: Literal["change"] = "change"


def change_document(change: Change) -> ChangeDocument:
    """Return a record of the audit as the API shows it."""
    return ChangeDocument(
        id=change.id,
        action=change.action,
        author=ChangeAuthor(change.actor.name, change.actor.token_id or UNSET),
        subject=Identifier(change.subject_id, change.subject_type),
        before=dict(change.before),
        after=dict(change.after),
        meta=ResourceMeta(Timestamps(_time(change.made_at))),
    )


def change_data(integration: Integration) -> Mapping[str, Any]:
    """Return the data of an integration's lifecycle event. The caller has masked the integration's secrets."""
    return {
        "type": "integration",
        "id": integration.id,
        "name": integration.name,
        "description": integration.description,
        "enabled": integration.enabled,
        "paused": integration.paused,
        **({"rate_limit": integration.rate_limit} if integration.rate_limit is not None else {}),
        **patience_of(integration),
        **({"filter": dict(integration.filter)} if integration.filter is not None else {}),
        **({"disabled_reason": integration.disabled_reason} if integration.disabled_reason else {}),
        "integration_type": integration.integration_type,
        "observes": list(integration.observes),
        "configuration": dict(integration.configuration),
    }


def _times(log: IntegrationLog) -> TimesDocument | UnsetType:
    if log.exchange is None:
        return UNSET
    times = log.exchange.times
    found = ((name, getattr(times, name)) for name in ("dns", "connect", "tls", "first_byte"))
    known = {name: seconds for name, seconds in found if seconds is not None}
    return TimesDocument(round(log.processing_time, 6), **known)


def _request(request: SentRequest | None) -> RequestDocument | UnsetType:
    if request is None:
        return UNSET
    headers = list(request.headers)
    return RequestDocument(request.method, request.url, headers, request.body_bytes, request.peer or UNSET)


def _response(answer: ReceivedAnswer | None) -> ResponseDocument | UnsetType:
    return UNSET if answer is None else ResponseDocument(answer.status_line, list(answer.headers))


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
