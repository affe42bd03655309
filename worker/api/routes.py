"""The operations of the API: every path of the specification, and our own beside it."""

from collections.abc import Mapping
from typing import Any

from worker.api.event_documents import PATH as EVENTS_PATH
from worker.api.filters import FILTER, filter_pattern
from worker.api.given_events import CLOUDEVENT, CLOUDEVENTS
from worker.api.handlers import (
    audit_handlers,
    console_handlers,
    event_handlers,
    filter_handlers,
    health_handlers,
    integration_handlers,
    integration_listing,
    job_handlers,
    key_handlers,
    log_handlers,
    oauth,
    test_delivery_handlers,
)
from worker.api.handlers.api_docs import ApiDocs
from worker.api.operations import (
    ADMINS,
    ANYBODY_WITH_A_TOKEN,
    PUBLISHERS,
    READERS,
    Answer,
    Body,
    Operation,
    Parameter,
)
from worker.api.paging import DEFAULT_LIMIT, LARGEST_LIMIT, LARGEST_OFFSET, LIMIT, OFFSET, Collection
from worker.api.request_context import FORM
from worker.api.schemas import (
    AccessToken,
    AttributeList,
    CloudEvent,
    ConsoleLink,
    ConsoleLinkAttributes,
    Credentials,
    EventAttributes,
    EventBatch,
    EventHistoryDocument,
    FilterTrial,
    FilterTrialAttributes,
    IntegrationAttributes,
    KeyRotationAttributes,
    ListedEvent,
    NewIntegration,
    PublishedBatch,
    PublishedEvent,
    RedeliveredJob,
    RedeliveryAttributes,
    RedeliveryDocument,
    SigningKeyList,
    Single,
    TrialAttributes,
)
from worker.api.services.api_health import Liveness
from worker.api.sorting import SORT, sort_pattern
from worker.domain.resources import ChangeDocument, IntegrationDocument, JobDocument, LogDocument
from worker.integrations.redelivery import CURSOR_PATTERN
from worker.telemetry.readiness import Readiness

_PAGES = (
    Parameter(
        LIMIT,
        "Records per page.",
        {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT, "default": DEFAULT_LIMIT},
    ),
    Parameter(
        OFFSET,
        "Records to skip before the page; 0 for the first page.",
        {"type": "integer", "minimum": 0, "maximum": LARGEST_OFFSET, "default": 0},
    ),
)
_ETAG = {"ETag": "The integration's revision, for If-Match."}
_IF_MATCH = Parameter(
    "If-Match", "Apply the request only if the integration still has this ETag; otherwise 412.", place="header"
)
_IF_NONE_MATCH = Parameter("If-None-Match", "Answer 304 if the integration still has this ETag.", place="header")
_KEY = Parameter(
    job_handlers.IDEMPOTENCY_KEY,
    "Identifies this redelivery: a repetition under the same key reopens no job a second time.",
    {"type": "string", "minLength": 1, "maxLength": job_handlers.KEY_MAX_CHARS},
    "header",
)

#: Attributes of a redelivery that the query may give instead of the body.
_SELECTION_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "from": {"type": "string", "format": "date-time"},
    "to": {"type": "string", "format": "date-time"},
    "state": {"type": "string", "enum": list(job_handlers.STATES)},
    "missing": {"type": "boolean"},
    "partial": {"type": "boolean"},
    "dry_run": {"type": "boolean"},
    "cursor": {"type": "string", "pattern": f"^{CURSOR_PATTERN}$"},
}
_SELECTION = tuple(
    Parameter(name, "As in the body; takes precedence over it.", schema) for name, schema in _SELECTION_SCHEMAS.items()
)


def _filter(fields: Mapping[str, Any], note: str) -> Parameter:
    syntax = "Conditions operator(field,value), joined by colons; operators eq, gt, ge, lt, le"
    schema = {"type": "string", "pattern": filter_pattern(fields)}
    return Parameter(FILTER, f"{syntax}; fields {', '.join(fields)}. {note}".strip(), schema)


#: What a filter without an index does.
_WINDOW = f"examine the newest {log_handlers.WINDOW:,} records"
_LOG_PAGES = (
    *_PAGES,
    _filter(log_handlers.FIELDS, f"eq(succeeded,false) on a store's logs uses an index; other filters {_WINDOW}."),
)
_INTEGRATION = f"{integration_handlers.PATH}/{{integration_id}}"
_JOB = f"{_INTEGRATION}/jobs/{{job_id}}"

_docs = ApiDocs(lambda: OPERATIONS)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "listIntegrations",
        "GET",
        integration_handlers.PATH,
        integration_listing.listing,
        "List integrations, the newest first",
        READERS,
        {200: Answer("A page of integrations.", Collection[IntegrationDocument])},
        (
            *_PAGES,
            _filter(integration_listing.fields_of(()), ""),
            Parameter(
                SORT,
                f"Attributes to sort by: {', '.join(integration_listing.SORTS)}; a minus reverses the order.",
                {"type": "string", "pattern": sort_pattern(integration_listing.SORTS)},
            ),
        ),
        refusals=(400,),
    ),
    Operation(
        "listAttributes",
        "GET",
        f"{integration_handlers.PATH}/attributes",
        integration_listing.attributes,
        "List the attributes of an integration",
        READERS,
        {200: Answer("The attributes.", AttributeList)},
    ),
    Operation(
        "createIntegration",
        "POST",
        integration_handlers.PATH,
        integration_handlers.create,
        "Register an integration",
        ADMINS,
        {201: Answer("The integration.", Single[IntegrationDocument], {**_ETAG, "Location": "The integration's URL."})},
        body=Body.json(Single[NewIntegration]),
        refusals=(400, 413, 415, 422),
    ),
    Operation(
        "getIntegration",
        "GET",
        _INTEGRATION,
        integration_handlers.read,
        "Read an integration",
        READERS,
        {
            200: Answer("The integration.", Single[IntegrationDocument], _ETAG),
            304: Answer("The integration is unchanged."),
        },
        (_IF_NONE_MATCH,),
        refusals=(404,),
    ),
    Operation(
        "updateIntegration",
        "PUT",
        _INTEGRATION,
        integration_handlers.update,
        "Change the attributes that the body names; a configuration is replaced as a whole",
        ADMINS,
        {200: Answer("The integration as it is now.", Single[IntegrationDocument], _ETAG)},
        (_IF_MATCH,),
        Body.json(Single[IntegrationAttributes]),
        refusals=(400, 404, 409, 412, 413, 415, 422),
    ),
    Operation(
        "deleteIntegration",
        "DELETE",
        _INTEGRATION,
        integration_handlers.delete,
        "Delete an integration and cancel its pending jobs",
        ADMINS,
        {204: Answer("The integration is deleted.")},
        (_IF_MATCH,),
        refusals=(404, 409, 412),
    ),
    Operation(
        "testIntegration",
        "POST",
        f"{_INTEGRATION}/test",
        test_delivery_handlers.deliver_test,
        "Deliver a sample event now and return the log",
        ADMINS,
        {200: Answer("The log of the attempt, whether it succeeded or failed.", Single[LogDocument])},
        body=Body.json(Single[TrialAttributes], required=False),
        refusals=(400, 404, 413, 415, 422),
    ),
    Operation(
        "tryFilter",
        "POST",
        f"{_INTEGRATION}/filter/try",
        filter_handlers.try_filter,
        "Try a filter with a sample or a stored event; nothing is delivered",
        ADMINS,
        {200: Answer("Whether the event matches, and which condition it does not meet.", Single[FilterTrial])},
        body=Body.json(Single[FilterTrialAttributes], required=False),
        refusals=(400, 404, 413, 415, 422),
    ),
    Operation(
        "redeliverIntegration",
        "POST",
        f"{_INTEGRATION}/redeliver",
        job_handlers.redeliver_many,
        "Redeliver jobs by time and state, and optionally events that had no job",
        ADMINS,
        {
            202: Answer("The number of jobs that are now due.", Single[RedeliveryDocument]),
            200: Answer("Dry run: the number of jobs that would be due.", Single[RedeliveryDocument]),
        },
        (_KEY, *_SELECTION),
        Body.json(Single[RedeliveryAttributes], required=False),
        refusals=(400, 404, 409, 413, 415, 422),
    ),
    Operation(
        "listSigningKeys",
        "GET",
        f"{_INTEGRATION}/keys",
        key_handlers.listing,
        "List the public keys that verify an integration's webhooks",
        READERS,
        {200: Answer("The keys, the newest first.", SigningKeyList)},
        refusals=(404,),
    ),
    Operation(
        "rotateSigningKeys",
        "POST",
        f"{_INTEGRATION}/keys/rotate",
        key_handlers.rotate,
        "Make a key pair that signs an integration's webhooks; older ones sign on for an overlap",
        ADMINS,
        {201: Answer("The keys, the new one first.", SigningKeyList)},
        body=Body.json(Single[KeyRotationAttributes], required=False),
        refusals=(400, 404, 409, 413, 415, 422),
    ),
    Operation(
        "deleteSigningKeys",
        "DELETE",
        f"{_INTEGRATION}/keys",
        key_handlers.delete,
        "Delete an integration's key pairs: none signs any more",
        ADMINS,
        {204: Answer("They are deleted.")},
        refusals=(404, 409, 422),
    ),
    Operation(
        "listLogs",
        "GET",
        f"{integration_handlers.PATH}/logs",
        log_handlers.of_store,
        "List the store's logs, the newest first",
        READERS,
        {200: Answer("A page of logs.", Collection[LogDocument])},
        _LOG_PAGES,
        refusals=(400,),
    ),
    Operation(
        "listIntegrationLogs",
        "GET",
        f"{_INTEGRATION}/logs",
        log_handlers.of_integration,
        "List an integration's logs, the newest first",
        READERS,
        {200: Answer("A page of logs.", Collection[LogDocument])},
        _LOG_PAGES,
        refusals=(400, 404),
    ),
    Operation(
        "listJobs",
        "GET",
        f"{_INTEGRATION}/jobs",
        job_handlers.listing,
        "List an integration's jobs, the newest first",
        READERS,
        {200: Answer("A page of jobs.", Collection[JobDocument])},
        (*_PAGES, _filter(job_handlers.FIELDS, f"Filters {_WINDOW}.")),
        refusals=(400, 404),
    ),
    Operation(
        "getJob",
        "GET",
        _JOB,
        job_handlers.read,
        "Read a job: its state, its attempts and the time of the next one",
        READERS,
        {200: Answer("The job.", Single[JobDocument])},
        refusals=(404,),
    ),
    Operation(
        "listJobLogs",
        "GET",
        f"{_JOB}/logs",
        log_handlers.of_job,
        "List a job's logs, the last attempt first",
        READERS,
        {200: Answer("A page of logs.", Collection[LogDocument])},
        _LOG_PAGES,
        refusals=(400, 404),
    ),
    Operation(
        "redeliverJob",
        "POST",
        f"{_JOB}/redeliver",
        job_handlers.redeliver_one,
        "Redeliver a job: reopen it, or make it due now",
        ADMINS,
        {202: Answer("The job as it is now.", RedeliveredJob)},
        (_KEY,),
        refusals=(400, 404, 409),
    ),
    Operation(
        "publishEvents",
        "POST",
        EVENTS_PATH,
        event_handlers.publish,
        "Publish an event or a batch",
        PUBLISHERS,
        {
            202: Answer(
                "All are in the ledger; for a batch, `data` is a list.", (Single[PublishedEvent], PublishedBatch)
            ),
            207: Answer("Some are in the ledger; each result has its own status.", PublishedBatch),
        },
        body=Body(
            {
                **Body.json((Single[EventAttributes], EventBatch)).content,
                CLOUDEVENT: CloudEvent,
                CLOUDEVENTS: list[CloudEvent],
            }
        ),
        refusals=(400, 413, 415, 422),
        platform=True,
    ),
    Operation(
        "listEvents",
        "GET",
        EVENTS_PATH,
        event_handlers.listing,
        "List events, the newest first; with a resource, also who got each event, and why the others did not",
        READERS,
        {200: Answer("A page of events.", Collection[ListedEvent])},
        (
            *_PAGES,
            _filter(
                event_handlers.FIELDS,
                "eq(resource_type,…):eq(resource_id,…) uses an index, which has the last 100 events of a resource; "
                f"other filters {_WINDOW}.",
            ),
        ),
        refusals=(400,),
    ),
    Operation(
        "getEvent",
        "GET",
        f"{EVENTS_PATH}/{{event_id}}",
        event_handlers.history,
        "Read the history of an event: its jobs, and the last attempt of each",
        READERS,
        {200: Answer("The event and a page of its jobs.", EventHistoryDocument)},
        _PAGES,
        refusals=(400, 404),
    ),
    Operation(
        "eraseEvent",
        "DELETE",
        f"{EVENTS_PATH}/{{event_id}}",
        event_handlers.erase,
        "Erase an event's data and the answers to it, and cancel its pending jobs",
        ADMINS,
        {204: Answer("The event is erased. Its jobs and the outcomes of its attempts stay.")},
        refusals=(404,),
    ),
    Operation(
        "listChanges",
        "GET",
        audit_handlers.PATH,
        audit_handlers.listing,
        "List the changes that people made, the newest first",
        ADMINS,
        {200: Answer("A page of changes.", Collection[ChangeDocument])},
        (*_PAGES, _filter(audit_handlers.FIELDS, f"Filters {_WINDOW}.")),
        refusals=(400,),
    ),
    Operation(
        "logIn",
        "POST",
        "/oauth/access_token",
        oauth.access_token,
        "Exchange a client's credentials for a bearer token that is valid for an hour",
        None,
        {200: Answer("The bearer token.", AccessToken)},
        body=Body({FORM: Credentials, "application/json": Credentials}),
        refusals=(400, 401, 413, 415, 429),
    ),
    Operation(
        "createConsoleLink",
        "POST",
        console_handlers.PATH,
        console_handlers.create_link,
        "Make a link that opens the store's console once, for minutes",
        ADMINS,
        {201: Answer("The link.", Single[ConsoleLink])},
        body=Body.json(Single[ConsoleLinkAttributes], required=False),
        refusals=(400, 413, 415, 422),
    ),
    Operation(
        "describe",
        "GET",
        "/openapi.json",
        _docs.openapi,
        "Describe the API for programs",
        ANYBODY_WITH_A_TOKEN,
        {200: Answer("This description, in OpenAPI 3.1.", Mapping[str, Any])},
        platform=True,
        basic=True,
    ),
    Operation(
        "readDescription",
        "GET",
        "/",
        _docs.page,
        "Describe the API for people",
        ANYBODY_WITH_A_TOKEN,
        {200: Answer("This description, as a web page.", content_type="text/html")},
        platform=True,
        basic=True,
    ),
    Operation(
        "healthz",
        "GET",
        "/healthz",
        health_handlers.healthz,
        "Check that the process is alive",
        None,
        {200: Answer("The process is alive.", Liveness)},
    ),
    Operation(
        "readyz",
        "GET",
        "/readyz",
        health_handlers.readyz,
        "Check that the process can serve requests",
        None,
        {
            200: Answer("Ready; `degraded` means slower or with less, and the checks say why.", Readiness),
            503: Answer("Not ready: the ledger accepts no writes, or the process is stopping.", Readiness),
        },
    ),
)
