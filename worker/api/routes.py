"""The operations of the API: each path of the specification, and those beyond it."""

from collections.abc import Mapping
from typing import Any

from worker.api.filters import FILTER
from worker.api.handlers import (
    event_handlers,
    health_handlers,
    integration_handlers,
    job_handlers,
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
from worker.api.schemas import (
    AccessToken,
    CloudEvent,
    Credentials,
    EventAttributes,
    EventBatch,
    EventHistoryDocument,
    IntegrationAttributes,
    NewIntegration,
    PublishedBatch,
    PublishedEvent,
    RedeliveredJob,
    RedeliveryAttributes,
    RedeliveryDocument,
    Single,
    TrialAttributes,
)
from worker.api.services.api_health import Liveness
from worker.domain.resources import IntegrationDocument, JobDocument, LogDocument
from worker.telemetry.readiness import Readiness

_PAGES = (
    Parameter(
        LIMIT,
        "Records of a page.",
        {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT, "default": DEFAULT_LIMIT},
    ),
    Parameter(
        OFFSET,
        "Records before the page; the first page begins at 0.",
        {"type": "integer", "minimum": 0, "maximum": LARGEST_OFFSET, "default": 0},
    ),
)
_ETAG = {"ETag": "The integration's revision, for If-Match."}
_IF_MATCH = Parameter("If-Match", "Only where the integration is still of this ETag.", place="header")
_IF_NONE_MATCH = Parameter("If-None-Match", "304 where the integration is still of this ETag.", place="header")
_KEY = Parameter(
    job_handlers.IDEMPOTENCY_KEY,
    "Names this redelivery: repeated under the same key, no job is reopened twice.",
    {"type": "string", "minLength": 1, "maxLength": job_handlers.KEY_MAX_CHARS},
    "header",
)

#: A redelivery's attributes, as its query may have them in place of its body.
_SELECTION_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "from": {"type": "string", "format": "date-time"},
    "to": {"type": "string", "format": "date-time"},
    "state": {"type": "string", "enum": list(job_handlers.STATES)},
    "missing": {"type": "boolean"},
    "partial": {"type": "boolean"},
    "dry_run": {"type": "boolean"},
    "cursor": {"type": "string"},
}
_SELECTION = tuple(
    Parameter(name, "As in the body, over which it takes precedence.", schema)
    for name, schema in _SELECTION_SCHEMAS.items()
)


def _filter(fields: Mapping[str, Any], note: str) -> Parameter:
    syntax = "operator(field,value), with eq, gt, ge, lt or le, joined by colons"
    return Parameter(FILTER, f"{syntax}; by {', '.join(fields)}. {note}".strip())


_LOG_PAGES = (*_PAGES, _filter(log_handlers.FIELDS, "eq(succeeded,false) of a store's logs has an index."))
_INTEGRATION = f"{integration_handlers.PATH}/{{integration_id}}"
_JOB = f"{_INTEGRATION}/jobs/{{job_id}}"

_docs = ApiDocs(lambda: OPERATIONS)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "listIntegrations",
        "GET",
        integration_handlers.PATH,
        integration_handlers.listing,
        "List integrations, the newest first",
        READERS,
        {200: Answer("A page of integrations.", Collection[IntegrationDocument])},
        _PAGES,
        refusals=(400,),
    ),
    Operation(
        "createIntegration",
        "POST",
        integration_handlers.PATH,
        integration_handlers.create,
        "Register an integration",
        ADMINS,
        {201: Answer("The integration.", Single[IntegrationDocument], {**_ETAG, "Location": "Where it is."})},
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
        {200: Answer("The integration.", Single[IntegrationDocument], _ETAG), 304: Answer("It is unchanged.")},
        (_IF_NONE_MATCH,),
        refusals=(404,),
    ),
    Operation(
        "updateIntegration",
        "PUT",
        _INTEGRATION,
        integration_handlers.update,
        "Change an integration: only the attributes in the body; a configuration replaces the whole of the present one",
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
        "Delete an integration; what it is owed is cancelled",
        ADMINS,
        {204: Answer("It is deleted.")},
        (_IF_MATCH,),
        refusals=(404, 409, 412),
    ),
    Operation(
        "testIntegration",
        "POST",
        f"{_INTEGRATION}/test",
        test_delivery_handlers.deliver_test,
        "Deliver a sample event now, and answer with the log",
        ADMINS,
        {200: Answer("What came of it, whether it succeeded or not.", Single[LogDocument])},
        body=Body.json(Single[TrialAttributes], required=False),
        refusals=(400, 404, 413, 415, 422),
    ),
    Operation(
        "redeliverIntegration",
        "POST",
        f"{_INTEGRATION}/redeliver",
        job_handlers.redeliver_many,
        "Redeliver jobs of a time and a state, and what was missed",
        ADMINS,
        {
            202: Answer("How many jobs are due because of it.", Single[RedeliveryDocument]),
            200: Answer("How many would be, in a dry run.", Single[RedeliveryDocument]),
        },
        (_KEY, *_SELECTION),
        Body.json(Single[RedeliveryAttributes], required=False),
        refusals=(400, 404, 409, 413, 415, 422),
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
        (*_PAGES, _filter(job_handlers.FIELDS, "")),
        refusals=(400, 404),
    ),
    Operation(
        "getJob",
        "GET",
        _JOB,
        job_handlers.read,
        "Read a job: its state, its attempts, the next one",
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
        event_handlers.PATH,
        event_handlers.publish,
        "Publish an event, or a batch",
        PUBLISHERS,
        {
            202: Answer("The ledger has all; of a batch, `data` is a list.", (Single[PublishedEvent], PublishedBatch)),
            207: Answer("The ledger has some; each says what came of it.", PublishedBatch),
        },
        body=Body(
            {
                **Body.json((Single[EventAttributes], EventBatch)).content,
                event_handlers.CLOUDEVENT: CloudEvent,
                event_handlers.CLOUDEVENTS: list[CloudEvent],
            }
        ),
        refusals=(400, 413, 415, 422),
        platform=True,
    ),
    Operation(
        "getEvent",
        "GET",
        f"{event_handlers.PATH}/{{event_id}}",
        event_handlers.history,
        "What became of an event: whom it was owed to, and the last attempt of each",
        READERS,
        {200: Answer("The event, and a page of its jobs.", EventHistoryDocument)},
        _PAGES,
        refusals=(400, 404),
    ),
    Operation(
        "logIn",
        "POST",
        "/oauth/access_token",
        oauth.access_token,
        "Exchange a client's credentials for a bearer of an hour",
        None,
        {200: Answer("The bearer.", AccessToken)},
        body=Body({oauth.FORM: Credentials, "application/json": Credentials}),
        refusals=(400, 401, 413, 415, 429),
    ),
    Operation(
        "describe",
        "GET",
        "/openapi.json",
        _docs.openapi,
        "This description",
        ANYBODY_WITH_A_TOKEN,
        {200: Answer("OpenAPI 3.1.", Mapping[str, Any])},
        platform=True,
        basic=True,
    ),
    Operation(
        "readDescription",
        "GET",
        "/",
        _docs.page,
        "The same, for people",
        ANYBODY_WITH_A_TOKEN,
        {200: Answer("A page.", content_type="text/html")},
        platform=True,
        basic=True,
    ),
    Operation(
        "healthz",
        "GET",
        "/healthz",
        health_handlers.healthz,
        "Whether the process answers",
        None,
        {200: Answer("It does.", Liveness)},
    ),
    Operation(
        "readyz",
        "GET",
        "/readyz",
        health_handlers.readyz,
        "Whether requests should come here",
        None,
        {
            200: Answer("They should; degraded says what is slower.", Readiness),
            503: Answer("They should not: the ledger takes no writes, or the process stops.", Readiness),
        },
    ),
)
