"""What the API answers beside the specification's own resources, and what it is sent."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from worker.api.api_errors import ErrorBody, ErrorDocument
from worker.api.paging import PageLinks, PageMeta, Results
from worker.domain.event_parser import ID_MAX_CHARS
from worker.domain.integration_input import DESCRIPTION_MAX_CHARS, NAME_MAX_CHARS, OBSERVES_MAX, RATE_LIMITS
from worker.domain.resources import Id, JobDocument, Links, LogDocument, ResourceMeta, Time

#: Events of one request.
EVENTS_MOST = 1_000

Item = TypeVar("Item")


class Single(Struct, Generic[Item], frozen=True):
    """One resource."""

    data: Item


class IntegrationAttributes(Struct, frozen=True):
    """What of an integration can be set. On an update, only what is given changes."""

    type: Literal["integration"] | UnsetType = UNSET
    name: Annotated[str, Meta(min_length=1, max_length=NAME_MAX_CHARS, pattern=r"\S")] | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=DESCRIPTION_MAX_CHARS)] | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    #: Its events are matched, and wait.
    paused: bool | UnsetType = UNSET
    #: Deliveries a second, across the fleet; null for as many as go.
    rate_limit: Annotated[float, Meta(ge=RATE_LIMITS[0], le=RATE_LIMITS[1])] | UnsetType | None = UNSET
    integration_type: str | UnsetType = UNSET
    observes: Annotated[list[str], Meta(min_length=1, max_length=OBSERVES_MAX)] | UnsetType = UNSET
    configuration: dict[str, Any] | UnsetType = UNSET


class NewIntegration(IntegrationAttributes, frozen=True, kw_only=True):
    """What a new integration is made of. `observers` is taken for `observes`, as the specification also calls it."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_MAX_CHARS, pattern=r"\S")]
    observes: Annotated[list[str], Meta(min_length=1, max_length=OBSERVES_MAX)]
    configuration: dict[str, Any]


class EventAttributes(Struct, frozen=True):
    """An event as its producer sends it. `data` is the affected resource."""

    type: str
    data: dict[str, Any]
    id: Annotated[str, Meta(min_length=1, max_length=ID_MAX_CHARS)] | UnsetType | None = UNSET
    time: Time | UnsetType | None = UNSET
    source: str | UnsetType | None = UNSET
    included: dict[str, Any] | list[Any] | UnsetType | None = UNSET
    store_id: str | UnsetType | None = UNSET
    org_id: str | UnsetType | None = UNSET
    #: W3C Trace Context: the trace that it belongs to; what is malformed is ignored.
    traceparent: str | UnsetType | None = UNSET
    tracestate: str | UnsetType | None = UNSET


class EventBatch(Struct, frozen=True):
    """Several events."""

    data: Annotated[list[EventAttributes], Meta(min_length=1, max_length=EVENTS_MOST)]


class CloudEvent(Struct, frozen=True):
    """An event as a CloudEvent 1.0 in structured JSON."""

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(min_length=1, max_length=ID_MAX_CHARS)]
    source: Annotated[str, Meta(min_length=1)]
    type: str
    data: dict[str, Any]
    time: Time | UnsetType = UNSET
    datacontenttype: str | UnsetType = UNSET
    storeid: str | UnsetType = UNSET
    orgid: str | UnsetType = UNSET
    traceparent: str | UnsetType = UNSET
    tracestate: str | UnsetType = UNSET


class PublishedEvent(Struct, frozen=True):
    """What came of one event: accepted (202) with its id, or refused, with why."""

    status: int
    type: Literal["event"] = "event"
    #: Its place in the batch.
    index: int | UnsetType = UNSET
    id: str | UnsetType = UNSET
    #: The id was known already, and nothing happens twice.
    duplicate: bool | UnsetType = UNSET
    #: The id was known with other content; the first one stays.
    differs: bool | UnsetType = UNSET
    links: Links | UnsetType = UNSET
    errors: list[ErrorBody] | UnsetType = UNSET


class PublishedBatch(Struct, frozen=True):
    """What came of each event of a batch, in its order; `errors` has those of all together."""

    data: list[PublishedEvent]
    errors: list[ErrorBody] | UnsetType = UNSET


class EventJobDocument(JobDocument, frozen=True, kw_only=True):
    """A job of an event, with the integration's name and the log of its last attempt."""

    integration_name: str | UnsetType = UNSET
    last_log: LogDocument | UnsetType = UNSET


class EventDocument(Struct, frozen=True):
    """An event: `waiting` to be observed, or `observed`, with a page of the jobs that it opened; or `set_aside`.

    What is set aside could not be observed: why, the list of rejected events says.
    """

    id: str
    triggered_by: str
    state: Literal["waiting", "observed", "set_aside"]
    jobs: list[EventJobDocument]
    time: Time
    meta: ResourceMeta
    type: Literal["event"] = "event"
    source: str | UnsetType = UNSET
    store_id: str | UnsetType = UNSET
    org_id: str | UnsetType = UNSET


class EventHistoryDocument(Struct, frozen=True):
    """An event, and which page of its jobs this is."""

    data: EventDocument
    meta: PageMeta
    results: Results
    links: PageLinks


class RedeliveryMeta(Struct, frozen=True):
    """What a redelivery did to the job: reopened it, made it due, or left an attempt under way alone."""

    redelivery: Annotated[str, Meta(extra_json_schema={"enum": ["reopened", "due", "in_flight", "known"]})]


class RedeliveredJob(Struct, frozen=True):
    """A job after its redelivery was asked for."""

    data: JobDocument
    meta: RedeliveryMeta


class RedeliveryAttributes(Struct, frozen=True, rename={"since": "from", "till": "to"}):
    """What to redeliver: jobs opened in a time, in a state; with `missing`, also events that had no job."""

    since: Time | UnsetType = UNSET
    till: Time | UnsetType = UNSET
    state: Literal["failed", "cancelled", "succeeded", "pending"] | UnsetType = UNSET
    missing: bool | UnsetType = UNSET
    #: What is kept of a time of which retention has dropped some; without it, such a time is refused (409).
    partial: bool | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET
    cursor: str | UnsetType = UNSET


class RedeliveryDocument(Struct, frozen=True):
    """How many jobs a redelivery made due, or in a dry run would."""

    id: Id
    dry_run: bool
    #: Jobs that had ended and are owed anew.
    reopened: int
    #: Jobs that waited for their next attempt, which is due now.
    due: int
    #: Jobs whose attempt is under way, which are left alone.
    in_flight: int
    #: Events that had no job, and have one now.
    opened: int
    #: Jobs whose event retention has dropped, so that they cannot be redelivered.
    gone: int
    #: True where the integration's backlog has no room for more: nothing that is owed goes for what is asked for anew.
    full: bool
    #: False where there was more than one call does: repeat it with the cursor, and the id as Idempotency-Key.
    complete: bool
    type: Literal["redelivery"] = "redelivery"
    cursor: str | UnsetType = UNSET


class TrialAttributes(Struct, frozen=True):
    """The sample event of a test: its observable key, and the resource; without them, samples."""

    type: str | UnsetType = UNSET
    data: dict[str, Any] | UnsetType = UNSET
    included: dict[str, Any] | list[Any] | UnsetType | None = UNSET


class Credentials(Struct, frozen=True):
    """What a client logs in with."""

    grant_type: Literal["client_credentials"]
    client_id: str
    client_secret: str


class AccessToken(Struct, frozen=True):
    """A bearer token; `expires` in seconds since 1970."""

    access_token: str
    expires: int
    expires_in: int
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  (a word of RFC 6750)
    identifier: Literal["client_credentials"] = "client_credentials"


class OAuthErrorDocument(ErrorDocument, frozen=True):
    """An error in the API's shape, and in OAuth's own (RFC 6749, section 5.2)."""

    error: str
    error_description: str
