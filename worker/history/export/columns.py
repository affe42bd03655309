"""The columns of an export, and its rows: what the API shows, flat. No I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from worker.domain.compact_id import compact_uuid
from worker.domain.event import Scope
from worker.domain.resources import change_document, job_document, log_document
from worker.history.history_reader import job_of
from worker.ledger.change_records import decoded_change
from worker.ledger.events.wire_event import head_of, stored_of, times_of
from worker.ledger.lanes.log_records import decoded_log, with_exchange

#: The version of the columns; files of different versions are not mixed.
VERSION = 1

#: `json` is JSON as bytes: a text in Parquet, and a value in JSON. `time` is milliseconds since 1970.
Type = Literal["text", "integer", "number", "boolean", "time", "json"]
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a kind; a value may be missing, as the API leaves it out."""

    name: str
    type: Type


def _columns(**types: Type) -> Sequence[Column]:
    return [Column(name, each) for name, each in types.items()]


COLUMNS: Mapping[str, Sequence[Column]] = {
    "events": _columns(
        id="text",
        triggered_by="text",
        sequence="integer",
        state="text",
        resource_type="text",
        resource_id="text",
        time="text",
        source="text",
        org_id="text",
        store_id="text",
        created_at="time",
        payload="json",
    ),
    "jobs": _columns(
        id="text",
        event_id="text",
        triggered_by="text",
        integration_id="text",
        state="text",
        reason="text",
        attempts="integer",
        epoch="integer",
        org_id="text",
        store_id="text",
        created_at="time",
        ended_at="time",
    ),
    "logs": _columns(
        id="text",
        job_id="text",
        attempt="integer",
        event_id="text",
        triggered_by="text",
        integration_id="text",
        succeeded="boolean",
        status_code="integer",
        error_detail="text",
        body="text",
        processing_time="number",
        times="json",
        request="json",
        response="json",
        org_id="text",
        store_id="text",
        created_at="time",
    ),
    "changes": _columns(
        id="text",
        action="text",
        author_name="text",
        author_token_id="text",  # noqa: S106  (the type of a column)
        subject_type="text",
        subject_id="text",
        before="json",
        after="json",
        org_id="text",
        store_id="text",
        created_at="time",
    ),
}
KINDS = tuple(COLUMNS)

_json = msgspec.json.Encoder().encode


def _event(found: Sequence[Any]) -> Row | None:
    """Return the row of an event; None if it is erased."""
    ref, scope_key, head, payload, set_aside = found
    known, (accepted_at, sequence) = head_of(head), times_of(head)
    if known.erased:
        return None
    stored = stored_of(compact_uuid(ref), head + payload) if payload is not None else None
    event = stored.event if stored is not None else None
    resource = event.resource if event is not None else None
    return (
        known.id,
        known.type,
        sequence,
        "set_aside" if set_aside else "observed",
        resource.type if resource is not None else None,
        resource.id if resource is not None else None,
        stored.time if stored is not None else None,
        (event.source or None) if event is not None else None,
        *_scope(scope_key),
        accepted_at,
        event.raw if event is not None else None,
    )


def _job(found: Sequence[Any]) -> Row:
    *row, scope_key = found
    job = job_of(row)
    shown = job_document(job)
    return (
        *(job.id, job.event_id, job.event_type, job.integration_id, job.state.value, _given(shown.reason)),
        *(job.attempts, job.epoch, *_scope(scope_key), job.opened_at, job.ended_at),
    )


def _log(found: Sequence[Any]) -> Row:
    job, attempt, record, exchange, scope_key = found
    log = decoded_log(f"{job}:{attempt}", record)
    shown = log_document(with_exchange(log, exchange) if exchange else log)
    return (
        *(shown.id, log.job_id, log.attempt, log.event_id, log.event_type, log.integration_id),
        *(log.succeeded, log.status_code, log.error_detail, log.body, shown.processing_time),
        *(None if each is UNSET else _json(each) for each in (shown.times, shown.request, shown.response)),
        *(*_scope(scope_key), log.created_at),
    )


def _change(found: Sequence[Any]) -> Row:
    record, scope_key = found
    change = decoded_change(scope_key, record)
    shown = change_document(change)
    return (
        *(change.id, change.action.value, shown.author.name, _given(shown.author.token_id)),
        *(shown.subject.type, shown.subject.id, _json(shown.before), _json(shown.after)),
        *(*_scope(scope_key), change.made_at),
    )


#: Returns the row of what day_reader.py has read, by kind; None for what is not exported.
ROW_OF: Mapping[str, Callable[[Sequence[Any]], Row | None]] = {
    "events": _event,
    "jobs": _job,
    "logs": _log,
    "changes": _change,
}


def _scope(key: str) -> tuple[str | None, str | None]:
    scope = Scope.of_key(key)
    return scope.org_id, scope.store_id


def _given(value: Any) -> Any:
    return None if value is UNSET else value
