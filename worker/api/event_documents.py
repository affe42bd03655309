"""Documents of events: in a list, with their history, or with what became of each for every integration."""

from collections.abc import Mapping
from urllib.parse import quote

from msgspec import UNSET, UnsetType

from worker.api.schemas import (
    EventDocument,
    EventJobDocument,
    EventState,
    ListedEvent,
    MissingJobDocument,
    ResourceIdentifier,
)
from worker.domain.affected_resource import AffectedResource
from worker.domain.event import rfc3339
from worker.domain.resources import Links, ResourceMeta, Timestamps, job_document, log_document
from worker.integrations.event_search import ExplainedEvent
from worker.ledger.inspection.event_history import EventHistory, EventSummary, JobHistory

PATH = "/v2/events"


def path_of(event_id: str) -> str:
    """Return the path of an event."""
    # Nearly every id is a UUID, in which nothing is to be quoted.
    is_plain = event_id.isascii() and event_id.replace("-", "").isalnum()
    return f"{PATH}/{event_id if is_plain else quote(event_id, safe='')}"


def history_document(found: EventHistory, names: Mapping[str, str]) -> EventDocument:
    """Return an event with a page of its jobs; `names` are those of integrations, by id."""
    event = found.stored.event
    return EventDocument(
        id=event.id,
        triggered_by=event.type,
        state=_state(found),
        sequence=found.stored.sequence,
        jobs=[_job(each, names) for each in found.jobs],
        erased=found.stored.erased or UNSET,
        resource=_resource(event.resource),
        time=found.stored.time,
        source=event.source or UNSET,
        store_id=event.scope.store_id or UNSET,
        org_id=event.scope.org_id or UNSET,
        meta=ResourceMeta(Timestamps(rfc3339(found.stored.accepted_at))),
    )


def listed_event(summary: EventSummary, base: str = "") -> ListedEvent:
    """Return an event of a list; `base` is the URL of the API."""
    return ListedEvent(
        id=summary.id,
        triggered_by=summary.type,
        sequence=summary.sequence,
        meta=ResourceMeta(Timestamps(rfc3339(summary.accepted_at))),
        links=Links(base + path_of(summary.id)) if base else UNSET,
    )


def explained_event(found: ExplainedEvent, names: Mapping[str, str], base: str = "") -> ListedEvent:
    """Return an event with its jobs, and why the other integrations have none."""
    event = listed_event(found.summary, base)
    return ListedEvent(
        id=event.id,
        triggered_by=event.triggered_by,
        sequence=event.sequence,
        meta=event.meta,
        links=event.links,
        state=_state(found.history),
        resource=_resource(found.history.stored.event.resource),
        jobs=[_job(each, names) for each in found.history.jobs],
        not_delivered_to=[
            MissingJobDocument(each.integration_id, each.name, each.reason, each.words) for each in found.missing
        ],
    )


def _state(found: EventHistory) -> EventState:
    return "waiting" if found.waiting else "set_aside" if found.set_aside else "observed"


def _resource(resource: AffectedResource | None) -> ResourceIdentifier | UnsetType:
    return ResourceIdentifier(resource.type, resource.id) if resource is not None else UNSET


def _job(found: JobHistory, names: Mapping[str, str]) -> EventJobDocument:
    document = job_document(found.job)
    return EventJobDocument(
        **{name: getattr(document, name) for name in document.__struct_fields__},
        integration_name=names.get(found.job.integration_id, UNSET),
        last_log=log_document(found.last_log) if found.last_log else UNSET,
    )
