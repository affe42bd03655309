"""Documents that the API accepts and returns, beside the specification's own resources."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from worker.api.api_errors import ErrorBody, ErrorDocument
from worker.api.paging import PageLinks, PageMeta, Results
from worker.domain.api_token import ID_PATTERN, SECRET_PATTERN, TOKEN_PATTERN
from worker.domain.event_parser import ID_MAX_CHARS
from worker.domain.integration_input import DESCRIPTION_MAX_CHARS, NAME_MAX_CHARS, OBSERVES_MAX, RATE_LIMITS
from worker.domain.missing_job import MissingReason
from worker.domain.patience import MOST_PAUSES, PAUSES, SHORTEST_TIMEOUT
from worker.domain.resources import Id, JobDocument, Links, LogDocument, ResourceMeta, Time
from worker.domain.signing_keys import LONGEST_OVERLAP
from worker.integrations.redelivery import CURSOR_PATTERN

#: Events of one request at most.
EVENTS_MOST = 1_000

Item = TypeVar("Item")


class Single(Struct, Generic[Item], frozen=True):
    """One resource."""

    data: Item


class IntegrationAttributes(Struct, frozen=True):
    """The attributes of an integration that can be set; an update changes only those that it names."""

    type: Literal["integration"] | UnsetType = UNSET
    name: Annotated[str, Meta(min_length=1, max_length=NAME_MAX_CHARS, pattern=r"\S")] | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=DESCRIPTION_MAX_CHARS)] | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    #: While true, its jobs are opened but not attempted.
    paused: bool | UnsetType = UNSET
    #: Deliveries per second across the fleet; null for no limit.
    rate_limit: Annotated[float, Meta(ge=RATE_LIMITS[0], le=RATE_LIMITS[1])] | UnsetType | None = UNSET
    #: Time limit of an attempt in seconds, up to EDW_WEBHOOK_TIMEOUT_MAX; null for the deployment's.
    timeout: Annotated[float, Meta(ge=SHORTEST_TIMEOUT)] | UnsetType | None = UNSET
    #: The pause after each failed attempt, in seconds; empty makes one attempt, null takes the deployment's schedule.
    retry_schedule: (
        Annotated[list[Annotated[float, Meta(ge=PAUSES[0], le=PAUSES[1])]], Meta(max_length=MOST_PAUSES)]
        | UnsetType
        | None
    ) = UNSET
    #: The pattern that its events must match, as in deliverers/README.md; null for no filter.
    filter: dict[str, Any] | UnsetType | None = UNSET
    integration_type: str | UnsetType = UNSET
    observes: Annotated[list[str], Meta(min_length=1, max_length=OBSERVES_MAX)] | UnsetType = UNSET
    configuration: dict[str, Any] | UnsetType = UNSET


class NewIntegration(IntegrationAttributes, frozen=True, kw_only=True):
    """The attributes of a new integration. `observers`, the specification's other name for `observes`, also works."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_MAX_CHARS, pattern=r"\S")]
    observes: Annotated[list[str], Meta(min_length=1, max_length=OBSERVES_MAX)]
    configuration: dict[str, Any]


class IntegrationAttribute(Struct, frozen=True):
    """An attribute of an integration, as the platform's clients read it."""

    label: str
    #: The attribute's name in bodies.
    value: str
    type: str
    required: bool
    description: str
    #: The possible values; empty if there are others.
    options: list[str]


class AttributeMeta(Struct, frozen=True):
    """The resource whose attributes are listed."""

    entity: str = "integration"
    version: str = "2"


class AttributeList(Struct, frozen=True):
    """The attributes of an integration."""

    data: list[IntegrationAttribute]
    meta: AttributeMeta


class EventAttributes(Struct, frozen=True):
    """An event as its producer sends it. It has either `data`, the affected resource, or `payload`."""

    type: str
    data: dict[str, Any] | UnsetType | None = UNSET
    #: A flat payload: an object that receivers get as it is, in place of `{"data": …, "included": …}`.
    payload: dict[str, Any] | UnsetType | None = UNSET
    id: Annotated[str, Meta(min_length=1, max_length=ID_MAX_CHARS)] | UnsetType | None = UNSET
    time: Time | UnsetType | None = UNSET
    source: str | UnsetType | None = UNSET
    included: dict[str, Any] | list[Any] | UnsetType | None = UNSET
    store_id: str | UnsetType | None = UNSET
    org_id: str | UnsetType | None = UNSET
    #: The trace of the event (W3C Trace Context); a malformed one is ignored.
    traceparent: str | UnsetType | None = UNSET
    tracestate: str | UnsetType | None = UNSET


class EventBatch(Struct, frozen=True):
    """A batch of events."""

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
    #: Whether `data` is a flat payload, and not a resource.
    edwpayload: bool | Literal["true", "false"] | UnsetType = UNSET
    traceparent: str | UnsetType = UNSET
    tracestate: str | UnsetType = UNSET


class PublishedEvent(Struct, frozen=True):
    """The result of one event: accepted (202) with its id, or refused with the reasons."""

    status: int
    type: Literal["event"] = "event"
    #: The position in the batch, from 0.
    index: int | UnsetType = UNSET
    id: str | UnsetType = UNSET
    #: Whether the id was already known; then nothing is done a second time.
    duplicate: bool | UnsetType = UNSET
    #: Whether the id was already known with other content; the first content is kept.
    differs: bool | UnsetType = UNSET
    links: Links | UnsetType = UNSET
    errors: list[ErrorBody] | UnsetType = UNSET


class PublishedBatch(Struct, frozen=True):
    """The results of a batch, in its order; `errors` has the errors of all events."""

    data: list[PublishedEvent]
    errors: list[ErrorBody] | UnsetType = UNSET


class EventJobDocument(JobDocument, frozen=True, kw_only=True):
    """A job of an event, with the integration's name and the log of its last attempt."""

    integration_name: str | UnsetType = UNSET
    last_log: LogDocument | UnsetType = UNSET


#: Whether an event waits to be observed, was observed, or could not be observed and was set aside.
EventState = Literal["waiting", "observed", "set_aside"]


class ResourceIdentifier(Struct, frozen=True):
    """The resource that an event is about."""

    type: str
    id: str


class MissingJobDocument(Struct, frozen=True):
    """An integration that has no job of an event, and why; `detail` is the reason in words."""

    integration_id: Id
    integration_name: str
    reason: MissingReason
    detail: str


class ListedEvent(Struct, frozen=True):
    """An event in a list. What became of it is there if the list is of one resource's events."""

    id: str
    triggered_by: str
    #: Grows with each accepted event of the same resource.
    sequence: int
    meta: ResourceMeta
    type: Literal["event"] = "event"
    links: Links | UnsetType = UNSET
    state: EventState | UnsetType = UNSET
    resource: ResourceIdentifier | UnsetType = UNSET
    #: Up to 100 of its jobs; the event itself has all.
    jobs: list[EventJobDocument] | UnsetType = UNSET
    #: The other integrations of the store; empty if the event has more than 100 jobs.
    not_delivered_to: list[MissingJobDocument] | UnsetType = UNSET


class EventDocument(Struct, frozen=True):
    """An event and a page of its jobs: it is `waiting` to be observed, `observed`, or `set_aside`.

    An event that could not be observed is set aside; the list of rejected events has the reason.
    """

    id: str
    triggered_by: str
    state: EventState
    #: Grows with each accepted event of the same resource.
    sequence: int
    jobs: list[EventJobDocument]
    time: Time
    meta: ResourceMeta
    type: Literal["event"] = "event"
    #: True if its data was erased.
    erased: bool | UnsetType = UNSET
    #: Absent if the event's data has no id.
    resource: ResourceIdentifier | UnsetType = UNSET
    source: str | UnsetType = UNSET
    store_id: str | UnsetType = UNSET
    org_id: str | UnsetType = UNSET


class EventHistoryDocument(Struct, frozen=True):
    """The history of an event, with a page of its jobs."""

    data: EventDocument
    meta: PageMeta
    results: Results
    links: PageLinks


class RedeliveryMeta(Struct, frozen=True):
    """The effect of a redelivery on a job.

    `reopened`: the job had ended and is open again; `due`: its next attempt is due now; `in_flight`: an attempt is
    under way and was not disturbed; `known`: a redelivery with the same key had already handled the job.
    """

    redelivery: Annotated[str, Meta(extra_json_schema={"enum": ["reopened", "due", "in_flight", "known"]})]


class RedeliveredJob(Struct, frozen=True):
    """A job after the request to redeliver it."""

    data: JobDocument
    meta: RedeliveryMeta


class ConsoleLinkAttributes(Struct, frozen=True):
    """The role that a link into the console gives, and the seconds for which the link works."""

    role: Literal["read", "admin"] | UnsetType = UNSET
    expires_in: Annotated[float, Meta(ge=10, le=900)] | UnsetType = UNSET


class ConsoleLink(Struct, frozen=True):
    """A link that opens the store's console once."""

    url: Annotated[str, Meta(extra_json_schema={"format": "uri"})]
    role: Literal["read", "admin"]
    expires_at: Time
    type: Literal["console-link"] = "console-link"


class RedeliveryAttributes(Struct, frozen=True, rename={"since": "from", "till": "to"}):
    """The selection of a redelivery: jobs by time of opening and state; with `missing`, also events that had no job."""

    since: Time | UnsetType = UNSET
    till: Time | UnsetType = UNSET
    state: Literal["failed", "cancelled", "succeeded", "pending"] | UnsetType = UNSET
    missing: bool | UnsetType = UNSET
    #: Redeliver what is left of a time that retention has partly dropped; without it, such a time is refused (409).
    partial: bool | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET
    cursor: Annotated[str, Meta(pattern=f"^{CURSOR_PATTERN}$")] | UnsetType = UNSET


class RedeliveryDocument(Struct, frozen=True):
    """The number of jobs that a redelivery made due, or would make due in a dry run."""

    id: Id
    dry_run: bool
    #: Jobs that had ended and were reopened.
    reopened: int
    #: Jobs whose next attempt was scheduled for later and is due now.
    due: int
    #: Jobs that have an attempt under way, which was not disturbed.
    in_flight: int
    #: Events that had no job and have one now.
    opened: int
    #: Events that the integration observes and has no job for, because its filter does not match them.
    filtered: int
    #: Jobs that cannot be redelivered because retention has dropped their event.
    gone: int
    #: True if the backlog was full and jobs were not reopened: a redelivery displaces no pending job.
    full: bool
    #: False if one call could not do everything: repeat it with the cursor, and the id as Idempotency-Key.
    complete: bool
    type: Literal["redelivery"] = "redelivery"
    cursor: Annotated[str, Meta(pattern=f"^{CURSOR_PATTERN}$")] | UnsetType = UNSET


class FilterTrialAttributes(Struct, frozen=True):
    """The event that a filter is tried with: a stored one, or a sample, which has a default.

    `filter` is tried in place of the integration's own; null stands for no filter.
    """

    #: The id of a stored event of the store; a sample has none.
    event_id: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    data: dict[str, Any] | UnsetType = UNSET
    included: dict[str, Any] | list[Any] | UnsetType = UNSET
    payload: dict[str, Any] | UnsetType = UNSET
    filter: dict[str, Any] | UnsetType | None = UNSET


class UnmetCondition(Struct, frozen=True):
    """The condition of a filter that an event does not meet."""

    #: Its place in the filter, as a JSON pointer.
    pointer: str
    expected: str
    #: What the event has there.
    found: str


class FilterTrial(Struct, frozen=True):
    """The answer of a filter for one event: `matches`, or the condition that the event does not meet."""

    matches: bool
    #: Whether the integration observes the event's type; a filter alone makes no delivery.
    observed: bool
    type: Literal["filter-trial"] = "filter-trial"
    #: Absent if the event matches.
    condition: UnmetCondition | UnsetType = UNSET


class SigningKeyDocument(Struct, frozen=True):
    """A public key (Ed25519) that verifies an integration's webhooks, signature version v1a of Standard Webhooks."""

    id: Annotated[str, Meta(examples=["9f86d081884c7d65"])]
    #: `whpk_` and the 32 bytes of the key in base64.
    public_key: Annotated[str, Meta(pattern="^whpk_[A-Za-z0-9+/]{43}=$")]
    created_at: Time
    #: When it signs no more, because another key has replaced it; absent for the newest.
    retires_at: Time | UnsetType = UNSET
    algorithm: Literal["ed25519"] = "ed25519"
    type: Literal["signing-key"] = "signing-key"


class SigningKeyList(Struct, frozen=True):
    """The public keys whose private keys sign now, the newest first."""

    data: list[SigningKeyDocument]


class KeyRotationAttributes(Struct, frozen=True):
    """A rotation: the older keys go on signing for `overlap` seconds, a day without it; 0 ends them at once."""

    overlap: Annotated[float, Meta(ge=0, le=LONGEST_OVERLAP)] | UnsetType | None = UNSET


class TrialAttributes(Struct, frozen=True):
    """The sample event of a test: `type` is its observable key, `data` the resource; each has a default.

    `payload` is a flat payload in place of `data`.
    """

    type: str | UnsetType = UNSET
    data: dict[str, Any] | UnsetType = UNSET
    payload: dict[str, Any] | UnsetType | None = UNSET
    included: dict[str, Any] | list[Any] | UnsetType | None = UNSET


class Credentials(Struct, frozen=True):
    """The credentials with which a client logs in."""

    grant_type: Literal["client_credentials"]
    client_id: Annotated[str, Meta(pattern=f"^{ID_PATTERN}$")]
    client_secret: Annotated[str, Meta(pattern=f"^{SECRET_PATTERN}$")]


class AccessToken(Struct, frozen=True):
    """A bearer token; `expires` in seconds since 1970, `expires_in` in seconds."""

    access_token: Annotated[str, Meta(pattern=f"^{TOKEN_PATTERN}$")]
    expires: int
    expires_in: int
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  (a word of RFC 6750)
    identifier: Literal["client_credentials"] = "client_credentials"


class OAuthErrorDocument(ErrorDocument, frozen=True):
    """Errors in the API's shape and in OAuth's (RFC 6749, section 5.2)."""

    error: str
    error_description: str
