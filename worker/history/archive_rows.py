"""The rows of the history's tables, made of what the outbox has. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import msgspec

from worker.domain.compact_id import uuid_of
from worker.history.days import day_of
from worker.ledger.archive_outbox import OutboxBatch, OutboxEvent, OutboxJob, OutboxLog
from worker.ledger.change_records import heading_of
from worker.ledger.events.inbox import OBSERVE_TRIES
from worker.ledger.events.wire_event import EventHead, head_of, split, times_of
from worker.ledger.lanes.log_records import head_of_log

#: The columns of each table, in the order of the rows.
COLUMNS: Mapping[str, Sequence[str]] = {
    "events": ("day", "ref", "scope", "sequence", "type", "resource", "set_aside", "head"),
    "payloads": ("day", "ref", "payload"),
    "jobs": (
        *("day", "id", "event", "integration", "scope", "state", "reason", "attempts", "base", "epoch", "lost"),
        *("opened_at", "ended_at", "place", "marks", "event_id", "event_type"),
    ),
    "logs": ("day", "job", "attempt", "at", "scope", "integration", "succeeded", "record", "exchange"),
    "changes": ("day", "id", "at", "scope", "action", "subject", "record"),
}
#: Their types, as COPY needs them.
TYPES: Mapping[str, Sequence[str]] = {
    "events": ("date", "uuid", "text", "int8", "text", "text", "bool", "bytea"),
    "payloads": ("date", "uuid", "bytea"),
    "jobs": (
        *("date", "uuid", "uuid", "text", "text", "text", "text", "int4", "int4", "int4", "int4"),
        *("int8", "int8", "int4", "text", "text", "text"),
    ),
    "logs": ("date", "uuid", "int4", "int8", "text", "text", "bool", "bytea", "bytea"),
    "changes": ("date", "uuid", "int8", "text", "text", "text", "bytea"),
}
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ArchiveRows:
    """Rows by table, each key once, and logs that may have an earlier version on another day."""

    tables: Mapping[str, Sequence[Row]]
    replaced: Sequence[tuple[UUID, int, date]]

    @property
    def days(self) -> frozenset[date]:
        """The days that need a partition."""
        return frozenset(row[0] for rows in self.tables.values() for row in rows)


def rows_of(batch: OutboxBatch, oldest: date = date.min) -> ArchiveRows:
    """Return the rows of a batch. A record that cannot be read is left out of the tables that need its content.

    Changes of the audit from before the day `oldest` are left out: their day is dropped already.
    """
    heads: dict[str, tuple[EventHead, date]] = {}
    events: dict[str, Row] = {}
    payloads: dict[str, Row] = {}
    for event in batch.events:
        try:
            head, (accepted_at, sequence) = head_of(event.record), times_of(event.record)
        except (ValueError, msgspec.MsgspecError):
            continue
        heads[event.ref] = head, day_of(accepted_at)
        events[event.ref], payloads[event.ref] = _event_rows(event, head, accepted_at, sequence)
    jobs = {each.id: _job_row(each, heads.get(each.row[8])) for each in batch.jobs}
    logs = {each.member: _log_row(each) for each in batch.logs}
    changes = {row[1]: row for row in map(_change_row, batch.changes) if row is not None and row[0] >= oldest}
    replaced = [(logs[each.member][1], logs[each.member][2], logs[each.member][0]) for each in batch.logs if each.again]
    tables = {"events": events, "payloads": payloads, "jobs": jobs, "logs": logs}
    rows = {table: list(rows.values()) for table, rows in tables.items()}
    return ArchiveRows({**rows, "changes": list(changes.values())}, replaced)


def _event_rows(event: OutboxEvent, head: EventHead, accepted_at: int, sequence: int) -> tuple[Row, Row]:
    start, payload = split(event.record)
    day, ref = day_of(accepted_at), uuid_of(event.ref)
    set_aside = event.failures >= OBSERVE_TRIES
    row = (day, ref, head.scope, sequence, head.type, head.resource, set_aside, start)
    return row, (day, ref, payload)


def _job_row(job: OutboxJob, event: tuple[EventHead, date] | None) -> Row:
    state, reason, attempts, base, epoch, lost, opened_at, ended_at, ref, lane, marks = job.row
    opened = int(opened_at or 0)
    # Redis may have lost the event's record.
    head, day = event if event is not None else (None, day_of(opened))
    numbers = (int(attempts or 0), int(base or 0), int(epoch or 0), int(lost or 0), opened, int(ended_at or 0))
    named = (head.id, head.type) if head is not None else ("", "")
    return (day, UUID(job.id), uuid_of(ref), lane, job.scope, state, reason, *numbers, job.place, marks, *named)


def _log_row(log: OutboxLog) -> Row:
    job, _, attempt = log.member.rpartition(":")
    head = head_of_log(log.log)
    day, exchange = day_of(head.created_at), log.exchange.encode() if log.exchange else None
    whose = (log.scope, head.integration_id, head.succeeded)
    return (day, UUID(job), int(attempt), head.created_at, *whose, log.log, exchange)


def _change_row(entry: tuple[str, str]) -> Row | None:
    scope, record = entry
    try:
        heading = heading_of(record)
        named = UUID(heading.id)
    except (ValueError, msgspec.MsgspecError):
        return None
    at = heading.made_at
    return (day_of(at), named, at, scope, heading.action, heading.subject_id, record.encode())
