"""What the history answers: events, jobs and logs, the newest first. Raises HistoryError."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from psycopg import sql

from worker.domain.compact_id import compact_uuid, uuid_of
from worker.domain.integration_log import IntegrationLog
from worker.domain.job import Job, JobState
from worker.history.database import Connection, HistoryDatabase
from worker.history.days import day_of
from worker.ledger.events.wire_event import head_of
from worker.ledger.inspection.event_history import EventSummary, summary_of
from worker.ledger.lanes.log_records import decoded_log
from worker.ledger.lanes.reopening import RestoredEvent, RestoredJob
from worker.ledger.pages import Cursor

#: Columns of a job, in the order of job_of().
_JOB = sql.SQL(
    "id::text, event, integration, state, reason, attempts, epoch, lost, opened_at, ended_at, event_id, event_type"
)
#: Logs of one job that are read at most.
LOGS_OF_JOB = 1_000


@dataclass(frozen=True, slots=True)
class LogIndex:
    """A list of logs: those of a store, its failures, or those of an integration."""

    column: str
    value: str
    only_failures: bool = False

    @property
    def where(self) -> sql.Composed:
        """The condition of a log of the list, with a place for its value."""
        failures = sql.SQL(" AND NOT succeeded" if self.only_failures else "")
        return sql.SQL("{} = %s{}").format(sql.Identifier(self.column), failures)


@dataclass(frozen=True, slots=True)
class ArchivedEvent:
    """An event of the history; the payload is None once EDW_HISTORY_PAYLOADS has passed."""

    ref: str
    head: bytes
    payload: bytes | None
    set_aside: bool


def job_of(row: Sequence[Any]) -> Job:
    """Return the job of a row."""
    ref, event, lane, state, reason, attempts, epoch, lost, opened_at, ended_at, event_id, event_type = row
    job = (ref, compact_uuid(event), lane, JobState(state), reason, attempts, epoch, lost, opened_at, ended_at, None)
    return Job(*job, event_id, event_type)


class HistoryReader:
    """Reads one database."""

    def __init__(self, database: HistoryDatabase) -> None:
        self._database = database

    async def logs(self, index: LogIndex, most: int, till: int | None = None) -> list[IntegrationLog]:
        """Return the newest logs of a list; with `till` (ms), none that is newer."""
        query = sql.SQL(
            "SELECT job::text, attempt, record FROM edw.logs WHERE {} AND day <= %s AND at <= %s"
            " ORDER BY day DESC, at DESC, job DESC, attempt DESC LIMIT %s"
        ).format(index.where)
        rows = await self._rows(query, index.value, *until(till), most)
        return [decoded_log(f"{job}:{attempt}", record) for job, attempt, record in rows]

    async def count_logs(self, index: LogIndex, without: Sequence[tuple[str, int]], most: int) -> int:
        """Return how many logs a list has besides those of `without`, at most `most`."""
        jobs, attempts = [UUID(job) for job, _ in without], [attempt for _, attempt in without]
        given = sql.SQL("unnest(%s::uuid[], %s::int[]) AS k (job, attempt)")
        same = sql.SQL("k.job = l.job AND k.attempt = l.attempt")
        values = [jobs, attempts] if without else []
        return await self._count("logs", index.where, index.value, given, same, values, most)

    async def logs_of_job(self, job: str) -> list[tuple[IntegrationLog, str]]:
        """Return a job's logs, the last attempt first, each with its scope."""
        rows = await self._rows(
            sql.SQL(
                "SELECT DISTINCT ON (attempt) attempt, record, scope FROM edw.logs WHERE job = %s"
                " ORDER BY attempt DESC, at DESC LIMIT {}"
            ).format(sql.Literal(LOGS_OF_JOB)),
            UUID(job),
        )
        return [(decoded_log(f"{job}:{attempt}", record), scope) for attempt, record, scope in rows]

    async def attempts(
        self, wanted: Sequence[tuple[str, int]], days: Collection[date] = ()
    ) -> dict[tuple[str, int], tuple[IntegrationLog, bytes | None]]:
        """Return logs and their exchanges by job and attempt; `days` are those of the attempts, if they are known."""
        if not wanted:
            return {}
        query = sql.SQL(
            "SELECT l.job::text, l.attempt, l.record, l.exchange FROM edw.logs l"
            " JOIN unnest(%s::uuid[], %s::int[]) AS k (job, attempt) ON k.job = l.job AND k.attempt = l.attempt"
        )
        given: list[Any] = [[UUID(job) for job, _ in wanted], [attempt for _, attempt in wanted]]
        if days:
            given.append(list(days))
        dated = sql.SQL("{} WHERE l.day = ANY(%s)").format(query) if days else query
        return {
            (job, attempt): (decoded_log(f"{job}:{attempt}", record), exchange)
            for job, attempt, record, exchange in await self._rows(dated, *given)
        }

    async def jobs(self, ids: Sequence[str]) -> dict[str, Job]:
        """Return jobs by id; the latest of an event that was accepted again after it was forgotten."""
        query = sql.SQL("SELECT {} FROM edw.jobs WHERE id = ANY(%s) ORDER BY day").format(_JOB)
        return {row[0]: job_of(row) for row in await self._rows(query, [UUID(each) for each in ids])} if ids else {}

    async def jobs_of_integration(self, integration_id: str, most: int, till: int | None = None) -> list[Job]:
        """Return the newest jobs of an integration; with `till` (ms), none that was opened later."""
        query = sql.SQL(
            "SELECT {} FROM edw.jobs WHERE integration = %s AND day <= %s AND opened_at <= %s"
            " ORDER BY opened_at DESC, id DESC LIMIT %s"
        ).format(_JOB)
        return [job_of(row) for row in await self._rows(query, integration_id, *until(till), most)]

    async def count_jobs(self, integration_id: str, without: Sequence[str], most: int) -> int:
        """Return how many jobs an integration has besides those of `without`, at most `most`."""
        return await self._count_by_id("jobs", "integration", integration_id, "id", without, most)

    async def jobs_of_event(self, ref: str, offset: int, limit: int) -> tuple[list[Job], int]:
        """Return a page of an event's jobs in the order in which they were opened, and how many it has."""
        query = sql.SQL(
            "SELECT {}, count(*) OVER () FROM (SELECT DISTINCT ON (id) * FROM edw.jobs WHERE event = %s"
            " ORDER BY id, day DESC) AS latest ORDER BY place, id OFFSET %s LIMIT %s"
        ).format(_JOB)
        rows = await self._rows(query, uuid_of(ref), offset, limit)
        if rows:
            return [job_of(row[:-1]) for row in rows], int(rows[0][-1])
        ((total,),) = await self._rows(
            sql.SQL("SELECT count(DISTINCT id) FROM edw.jobs WHERE event = %s"), uuid_of(ref)
        )
        return [], int(total)

    async def restorable(self, ids: Sequence[str]) -> tuple[list[RestoredEvent], list[RestoredJob]]:
        """Return those of the jobs whose events have their data, with these events."""
        query = sql.SQL(
            "SELECT DISTINCT ON (j.id) j.id::text, j.event, j.integration, j.state, j.reason, j.attempts, j.base,"
            " j.epoch, j.lost, j.opened_at, j.ended_at, j.marks FROM edw.jobs j WHERE j.id = ANY(%s)"
            " ORDER BY j.id, j.day DESC"
        )
        rows = await self._rows(query, [UUID(each) for each in ids])
        jobs = [RestoredJob(job, compact_uuid(event), *rest) for job, event, *rest in rows]
        events = await self.whole_events(list(dict.fromkeys(job.event_ref for job in jobs)))
        whole = {each.ref for each in events}
        return events, [job for job in jobs if job.event_ref in whole]

    async def whole_events(self, refs: Sequence[str]) -> list[RestoredEvent]:
        """Return those of the events that have their data, with the ids of all their jobs."""
        found = await self.records(refs)
        if not found:
            return []
        listed: dict[str, list[str]] = {ref: [] for ref, _ in found}
        query = sql.SQL(
            "SELECT event, id::text FROM edw.jobs WHERE event = ANY(%s) GROUP BY event, id"
            " ORDER BY event, min(place), id"
        )
        for event, job in await self._rows(query, [uuid_of(ref) for ref in listed]):
            listed[compact_uuid(event)].append(job)
        return [RestoredEvent(ref, record, listed[ref]) for ref, record in found]

    async def records(self, refs: Sequence[str]) -> list[tuple[str, bytes]]:
        """Return those of the events that have their data, each with its record, as the ledger stored it."""
        if not refs:
            return []
        query = sql.SQL(
            "SELECT DISTINCT ON (e.ref) e.ref, e.head, p.payload FROM edw.events e"
            " JOIN edw.payloads p ON p.ref = e.ref AND p.day = e.day WHERE e.ref = ANY(%s) ORDER BY e.ref, e.day DESC"
        )
        rows = await self._rows(query, [uuid_of(ref) for ref in refs])
        found = [(compact_uuid(ref), head + payload) for ref, head, payload in rows]
        return [(ref, record) for ref, record in found if not head_of(record).erased]

    async def select_jobs(
        self, integration_id: str, cursor: Cursor, till: int, states: Sequence[str], most: int
    ) -> list[tuple[str, int, str, bool]]:
        """Return an integration's jobs in the states, the oldest first.

        Of each, the id, the time of opening, the marks, and whether its event has its data.
        """
        query = sql.SQL(
            "SELECT j.id::text, j.opened_at, j.marks, EXISTS (SELECT 1 FROM edw.payloads p JOIN edw.events e"
            " USING (ref, day) WHERE p.ref = j.event AND p.day = j.day) FROM edw.jobs j"
            " WHERE j.integration = %s AND j.day <= %s AND j.opened_at <= %s AND (j.opened_at, j.id) > (%s, %s)"
            " AND j.state = ANY(%s) ORDER BY j.opened_at, j.id LIMIT %s"
        )
        after = UUID(cursor.after) if cursor.after else UUID(int=0)
        values = (integration_id, *until(till), cursor.since, after, list(states), most)
        return [(job, opened_at, marks, whole) for job, opened_at, marks, whole in await self._rows(query, *values)]

    async def select_events(
        self, scope: str, cursor: Cursor, till: int, types: Sequence[str], most: int
    ) -> list[tuple[str, int]]:
        """Return a scope's events of the types that have their data, the oldest first, with their times (ms)."""
        query = sql.SQL(
            "SELECT e.ref, e.sequence / 1000 FROM edw.events e"
            " JOIN edw.payloads p ON p.ref = e.ref AND p.day = e.day"
            " WHERE e.scope = %s AND e.day >= %s AND e.day <= %s AND e.sequence >= %s AND e.sequence <= %s"
            " AND (e.sequence, e.ref) > (coalesce((SELECT sequence FROM edw.events WHERE ref = %s"
            " ORDER BY day DESC LIMIT 1), 0), %s)"
            " AND e.type = ANY(%s) AND NOT e.set_aside ORDER BY e.day, e.sequence, e.ref LIMIT %s"
        )
        after = uuid_of(cursor.after) if cursor.after else UUID(int=0)
        day, latest = until(till)
        first = day_of(max(0, cursor.since))
        times = (first, day, cursor.since * 1000, latest * 1000 + 999)
        rows = await self._rows(query, scope, *times, after, after, list(types), most)
        return [(compact_uuid(ref), int(at)) for ref, at in rows]

    async def event(self, ref: str) -> ArchivedEvent | None:
        """Return an event; the latest, if it was accepted again after it was forgotten."""
        rows = await self._rows(
            sql.SQL(
                "SELECT e.head, p.payload, e.set_aside FROM edw.events e"
                " LEFT JOIN edw.payloads p ON p.ref = e.ref AND p.day = e.day"
                " WHERE e.ref = %s ORDER BY e.day DESC LIMIT 1"
            ),
            uuid_of(ref),
        )
        for head, payload, set_aside in rows:
            return ArchivedEvent(ref, head, payload, set_aside)
        return None

    async def events(self, scope: str, resource: str, most: int, till: int | None = None) -> list[EventSummary]:
        """Return the newest events of a scope; with `till` (ms), none that is newer.

        With `resource`, the key of a resource, only those of it.
        """
        column, value = _of_events(scope, resource)
        query = sql.SQL(
            "SELECT ref, head FROM edw.events WHERE {} = %s AND day <= %s AND sequence <= %s"
            " ORDER BY day DESC, sequence DESC, ref DESC LIMIT %s"
        ).format(sql.Identifier(column))
        day, latest = until(till)
        rows = await self._rows(query, value, day, latest * 1000 + 999, most)
        return [summary_of(compact_uuid(ref), head, waiting=False) for ref, head in rows]

    async def count_events(self, scope: str, resource: str, without: Sequence[str], most: int) -> int:
        """Return how many events there are besides those of `without`, at most `most`."""
        ids = [str(uuid_of(ref)) for ref in without]
        return await self._count_by_id("events", *_of_events(scope, resource), "ref", ids, most)

    async def activity(self, integration_id: str, first: date) -> list[tuple[date, int, int]]:
        """Return the days of an integration from `first` on that have attempts: how many, and how many failed."""
        query = sql.SQL("SELECT day, attempts, failed FROM edw.activity WHERE integration = %s AND day >= %s")
        rows = await self._rows(query, integration_id, first)
        return [(day, int(attempts), int(failed)) for day, attempts, failed in rows]

    async def _count_by_id(
        self, table: str, column: str, value: str, identity: str, without: Sequence[str], most: int
    ) -> int:
        given = sql.SQL("unnest(%s::uuid[]) AS k (id)")
        where = sql.SQL("{} = %s").format(sql.Identifier(column))
        same = sql.SQL("k.id = l.{}").format(sql.Identifier(identity))
        values = [[UUID(each) for each in without]] if without else []
        return await self._count(table, where, value, given, same, values, most)

    async def _count(
        self,
        table: str,
        where: sql.Composable,
        value: str,
        given: sql.Composable,
        same: sql.Composable,
        values: Sequence[object],
        most: int,
    ) -> int:
        missing = sql.SQL(" AND NOT EXISTS (SELECT 1 FROM {} WHERE {})").format(given, same) if values else sql.SQL("")
        query = sql.SQL("SELECT count(*) FROM (SELECT 1 FROM {} l WHERE {}{} LIMIT %s) AS found").format(
            sql.Identifier("edw", table), where, missing
        )
        ((count,),) = await self._rows(query, value, *values, most)
        return int(count)

    async def _rows(self, query: sql.SQL | sql.Composed, *values: object) -> list[tuple[Any, ...]]:
        async def read(connection: Connection) -> list[tuple[Any, ...]]:
            return list(await (await connection.execute(query, values)).fetchall())

        return await self._database.read(read)


#: Later than anything: the last moment of the year 9998.
_NEVER = 253_370_764_799_999


def until(till: int | None) -> tuple[date, int]:
    """Return the last day and the last time of what is to be read."""
    latest = min(till, _NEVER) if till is not None else _NEVER
    return day_of(latest), latest


def _of_events(scope: str, resource: str) -> tuple[str, str]:
    """Return the column by which events are found, and its value. The key of a resource has its scope in it."""
    return ("resource", resource) if resource else ("scope", scope)


def days_near(times: Collection[int]) -> frozenset[date]:
    """Return the days of times (ms), and those before, since a log may be a little older than the end of its job."""
    return frozenset(day_of(each) for time in times for each in (time, time - 86_400_000))
