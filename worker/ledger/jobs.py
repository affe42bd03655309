"""Jobs and their lanes: opening, claiming, settling, giving back, reopening."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import msgspec

from worker.jobs import Job, JobState
from worker.ledger.calls import Calls
from worker.ledger.intake import StoredEvent, WireEvent
from worker.ledger.pages import Cursor, Page
from worker.ledger.policy import MAX_IDS_PER_MESSAGE, MAX_JOBS_PER_CALL, REPLY_BYTE_BUDGET
from worker.ledger.store import Store
from worker.tracecontext import TraceContext

#: Every lane up to its quota.
NO_LIMITS: Mapping[str, int] = MappingProxyType({})


class Verdict(StrEnum):
    """How an attempt ends, for the ledger."""

    SUCCEEDED = "succeeded"
    RETRY = "retry"
    FAILED = "failed"
    #: To be tried again: its worker died, and what came of it is unknown.
    LOST = "lost"
    #: To be tried again: its worker stopped before it was over.
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Opening:
    """A job to be opened."""

    job_id: str
    integration_id: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A job leased to this process, and the number of the attempt that it owes."""

    job_id: str
    integration_id: str
    #: The integration's revision by which the lane goes.
    revision: int
    #: Whose the integration is (Scope.key).
    scope_key: str
    event_ref: str
    attempt: int
    #: Attempts that earlier epochs had issued: the schedule counts from here.
    base: int = 0
    epoch: int = 0
    lost: int = 0
    #: None where retention or an old copy of the store took the event away.
    event: StoredEvent | None = None

    @property
    def trace(self) -> TraceContext | None:
        """The trace that its event belongs to."""
        return self.event.event.trace if self.event else None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What came of an attempt, for the ledger: durations in seconds."""

    job_id: str
    integration_id: str
    scope_key: str
    attempt: int
    verdict: Verdict
    #: JSON object of the log, without `created_at`, which the ledger adds.
    log: str
    reason: str = ""
    delay: float = 0.0
    rest: float = 0.0
    #: The integration's revision that was tried.
    revision: int = 0
    #: Its worker died, so that nobody knows what came of it (as LOST says; a job may also have FAILED by it).
    lost: bool = False
    #: Why the integration is to be disabled; empty where it is not.
    disable: str = ""
    #: Whether the receiver did well; None where the attempt says nothing of it.
    healthy: bool | None = None
    #: What went wrong, in words.
    why: str = ""


@dataclass(frozen=True, slots=True)
class CircuitChange:
    """An integration's circuit has opened, for another attempt at `until` (ms); or closed (0)."""

    integration_id: str
    is_open: bool
    until: int


@dataclass(frozen=True, slots=True)
class BrokenReceiver:
    """A receiver that has done nothing but fail for `percent` of the time that it may, since `since` (ms)."""

    integration_id: str
    #: 50 or 90; at 100 its integration is disabled.
    percent: int
    since: int
    attempts: int


@dataclass(frozen=True, slots=True)
class FilledLane:
    """A lane whose due jobs have passed `percent` (50, 90) of what it may have: beyond 100, the oldest go."""

    integration_id: str
    percent: int
    jobs: int
    #: Of the events that they are of.
    size: int


@dataclass(frozen=True, slots=True)
class Settled:
    """How the ledger took settlements: `settled`, `renewed`, `late` or `stale` (see settle.lua), and what follows."""

    results: Sequence[str]
    #: Lanes that have ready jobs and room.
    more: Sequence[str]
    circuits: Sequence[CircuitChange] = ()
    broken: Sequence[BrokenReceiver] = ()


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of opening jobs."""

    #: Those that this process has at once.
    claims: Sequence[Claim]
    #: Lanes with due jobs for which there was no room.
    waiting: Sequence[str]
    filled: Sequence[FilledLane] = ()
    #: (reference, why) of events that could not be opened, and stay in the inbox.
    failed: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class SelectedJobs:
    """A portion of what may be redelivered."""

    #: Job → what redeliver() would answer for it.
    jobs: Mapping[str, str]
    #: Jobs that would be among them, had retention kept their event.
    gone: int
    looked_at: int
    #: Where the next portion begins; None where there is none.
    next: Cursor | None


class _Claimed(msgspec.Struct):
    job: str
    lane: str
    revision: int
    scope: str
    ref: str
    attempt: int
    base: int = 0
    epoch: int = 0
    lost: int = 0

    def claim(self, event: StoredEvent | None) -> Claim:
        return Claim(
            self.job,
            self.lane,
            self.revision,
            self.scope,
            self.ref,
            self.attempt,
            self.base,
            self.epoch,
            self.lost,
            event,
        )


class _Opened(msgspec.Struct):
    claimed: list[_Claimed]
    waiting: list[str]
    filled: list[tuple[str, int, int, int]]
    failed: list[tuple[str, str]]


class _Claims(msgspec.Struct):
    jobs: list[_Claimed]
    events: list[WireEvent]
    more: list[str] = []


class _Settled(msgspec.Struct):
    results: list[str]
    more: list[str]
    circuits: list[tuple[str, str, int]]
    broken: list[tuple[str, int, int, int]]


class JobRow(msgspec.Struct):
    """A job as the scripts tell of it, with its event's id and type, and when it is due (-1 where it is not)."""

    id: str
    row: dict[str, str]
    event_id: str
    event_type: str
    due: float

    def job(self) -> Job:
        """The value."""
        event = {"id": self.event_id, "type": self.event_type}
        return _job(self.id, self.row, event, self.due if self.due >= 0 else None)


class _Rows(msgspec.Struct):
    records: list[JobRow]
    total: int = 0
    scope: str = ""


class _Selected(msgspec.Struct):
    jobs: list[tuple[str, str]]
    gone: int
    looked_at: int
    since: int
    after: str
    done: int


class _Missing(msgspec.Struct):
    opened: int
    full: int


_rows = msgspec.msgpack.Decoder(_Rows)
_selected = msgspec.msgpack.Decoder(_Selected)
_missing = msgspec.msgpack.Decoder(_Missing)
_opened = msgspec.msgpack.Decoder(_Opened)
_claims = msgspec.msgpack.Decoder(_Claims)
_settled = msgspec.msgpack.Decoder(_Settled)


def claims_of(reply: Sequence[bytes]) -> tuple[list[Claim], list[str]]:
    """The claims of a script's reply, and the lanes that have more."""
    head, *raws = reply
    claims = _claims.decode(head)
    events = {wire.ref: wire.stored(raw) for wire, raw in zip(claims.events, raws, strict=True)}
    return [each.claim(events.get(each.ref)) for each in claims.jobs], claims.more


class Jobs:
    """The jobs and lanes of the ledger, for one process (`owner`).

    A call that changes jobs takes at most MAX_JOBS_PER_CALL of them, and raises ValueError for more: no script may keep
    the store from everybody else for long.
    """

    def __init__(self, store: Store, owner: str, calls: Calls) -> None:
        self._store = store
        self.owner = owner
        self._calls = calls

    async def open(
        self,
        openings: Iterable[tuple[StoredEvent, Sequence[Opening], bool]],
        room: int,
        limits: Mapping[str, int] = NO_LIMITS,
    ) -> Opened:
        """Opens jobs of events: (event, its jobs, whether no more of this event follow), at most 200 jobs in all.

        Up to `room` of them are claimed at once, where their lane has room too, and of some lanes no more than `limits`
        says.
        """
        given = list(openings)
        _check_size([job for _, jobs, _ in given for job in jobs])
        policy = self._store.policy
        with self._calls.begun() as call:
            reply = await self._store.run(
                "open",
                owner=self.owner,
                call=call,
                lease=policy.lease,
                room=min(room, MAX_JOBS_PER_CALL),
                limits=dict(limits),
                deadline=policy.job_deadline,
                backlog=policy.lane_backlog,
                backlog_bytes=policy.lane_backlog_bytes,
                event_retention=policy.event_retention,
                events=[_observed(stored, jobs, last) for stored, jobs, last in given],
            )
            opened = _opened.decode(reply)
        events = {stored.ref: stored for stored, _, _ in given}
        return Opened(
            [each.claim(events[each.ref]) for each in opened.claimed],
            opened.waiting,
            [FilledLane(*each) for each in opened.filled],
            opened.failed,
        )

    async def claim(
        self, lanes: Sequence[str], room: int, limits: Mapping[str, int] = NO_LIMITS
    ) -> tuple[list[Claim], list[str]]:
        """Leases up to `room` due jobs of the lanes, each lane up to its quota, and of some no more than `limits` says.

        Also answers the lanes with more.
        """
        with self._calls.begun() as call:
            reply = await self._store.run(
                "claim",
                owner=self.owner,
                call=call,
                lease=self._store.policy.lease,
                room=min(room, MAX_JOBS_PER_CALL),
                lanes=lanes,
                limits=dict(limits),
                byte_budget=REPLY_BYTE_BUDGET,
            )
            return claims_of(reply)

    async def failing(self, lanes: Sequence[str]) -> frozenset[str]:
        """Those of the lanes whose last attempt failed, whichever process had it."""
        rows = await self._store.hashes([f"lane:{lane}" for lane in lanes], "failing_since")
        return frozenset(lane for lane, row in zip(lanes, rows, strict=True) if row)

    async def settle(self, settlements: Sequence[Settlement]) -> Settled:
        """Writes what came of attempts, with their logs. Repeating a call whose reply was lost is safe."""
        _check_size(settlements)
        policy = self._store.policy
        reply = await self._store.run(
            "settle",
            owner=self.owner,
            event_retention=policy.event_retention,
            log_retention=policy.log_retention,
            log_cap=policy.log_cap,
            circuit=asdict(policy.circuit),
            broken=asdict(policy.broken),
            items=[_item(each) for each in settlements],
        )
        settled = _settled.decode(reply)
        changes = [CircuitChange(lane, word == "open", until) for lane, word, until in settled.circuits]
        return Settled(settled.results, settled.more, changes, [BrokenReceiver(*each) for each in settled.broken])

    async def release(self, claims: Sequence[tuple[str, str, int]]) -> int:
        """Gives back (job, integration, attempt) that were never started; their numbers are un-issued."""
        _check_size(claims)
        jobs = [{"job": job, "attempt": attempt} for job, _, attempt in claims]
        retention = self._store.policy.event_retention
        return int(await self._store.run("release", owner=self.owner, event_retention=retention, jobs=jobs))

    async def redeliver(self, job_ids: Sequence[str], mark: str = "", states: Iterable[JobState] = ()) -> list[str]:
        """Reopens ended jobs and makes waiting ones due; answers what came of each.

        That is `reopened`, `due`, `in_flight`, `known` (a redelivery of the same `mark` had it before), `gone`, or
        `full`: for what has ended, its lane's backlog has no room now. With `states`, those of another one by now are
        left alone, and answered as `other`.
        """
        _check_size(job_ids)
        policy = self._store.policy
        answers = await self._store.run_confirmed(
            "redeliver",
            jobs=job_ids,
            deadline=policy.job_deadline,
            backlog=policy.lane_backlog,
            backlog_bytes=policy.lane_backlog_bytes,
            event_retention=policy.event_retention,
            mark=mark,
            states={state.value: True for state in states},
        )
        return [answer.decode() for answer in answers]

    async def select(
        self, integration_id: str, cursor: Cursor, till: int, states: Iterable[JobState], mark: str
    ) -> SelectedJobs:
        """A portion of an integration's jobs that were opened from the cursor on to `till` (ms), in one of the states.

        Those that the redelivery `mark` had before are left out.
        """
        reply = await self._store.run(
            "select_jobs",
            integration=integration_id,
            since=cursor.since,
            after=cursor.after,
            till=till,
            limit=MAX_JOBS_PER_CALL,
            states={state.value: True for state in states},
            mark=mark,
        )
        found = _selected.decode(reply)
        following = None if found.done else Cursor(found.since, found.after)
        return SelectedJobs(dict(found.jobs), found.gone, found.looked_at, following)

    async def open_missing(
        self, integration_id: str, jobs: Sequence[tuple[str, str]], *, dry_run: bool = False
    ) -> tuple[int, bool]:
        """Opens (job, event reference) of observed events that had no such job, due now; none is opened twice.

        Answers how many, and whether the lane's backlog left no room for more. With `dry_run` it opens none, and
        answers how many there are, whatever the backlog has room for now.
        """
        _check_size(jobs)
        policy = self._store.policy
        reply = await self._store.run_confirmed(
            "open_missing",
            lane=integration_id,
            jobs=[{"id": job, "ref": ref} for job, ref in jobs],
            deadline=policy.job_deadline,
            backlog=policy.lane_backlog,
            backlog_bytes=policy.lane_backlog_bytes,
            event_retention=policy.event_retention,
            dry=int(dry_run),
        )
        done = _missing.decode(reply)
        return done.opened, bool(done.full)

    async def get(self, job_ids: Sequence[str]) -> list[Job]:
        """The jobs that retention has not dropped, in the order given."""
        found: list[Job] = []
        for ids in by_message(job_ids):
            reply = await self._store.run("show_jobs", jobs=ids)
            found += [each.job() for each in _rows.decode(reply).records]
        return found

    async def of_integration(self, integration_id: str, offset: int, limit: int) -> Page[Job]:
        """An integration's jobs, the newest first, and whose it is."""
        reply = await self._store.run("page_jobs", integration=integration_id, offset=offset, limit=limit)
        found = _rows.decode(reply)
        return Page([each.job() for each in found.records], found.total, found.scope)

    async def pending(self, offset: int, limit: int) -> list[str]:
        """Ids of jobs that are still owed, the one nearest to its deadline first."""
        found = await self._store.call("zrange", "pending", offset, offset + limit - 1)
        return [job.decode() for job in found]


def _check_size(jobs: Sequence[object]) -> None:
    if len(jobs) > MAX_JOBS_PER_CALL:
        raise ValueError(f"{len(jobs)} jobs in one call; at most {MAX_JOBS_PER_CALL}")


def by_message(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    """Ids in the portions that one message or call may carry."""
    return (ids[start : start + MAX_IDS_PER_MESSAGE] for start in range(0, len(ids), MAX_IDS_PER_MESSAGE))


def _observed(stored: StoredEvent, jobs: Sequence[Opening], last: bool) -> dict[str, Any]:
    observed: dict[str, Any] = {
        "ref": stored.ref,
        "size": len(stored.event.raw),
        "last": last,
        "jobs": [{"id": each.job_id, "lane": each.integration_id} for each in jobs],
    }
    if stored.event.trace is not None:
        observed["trace"] = stored.event.trace.written
    return observed


def _item(settlement: Settlement) -> dict[str, Any]:
    return {
        "job": settlement.job_id,
        "attempt": settlement.attempt,
        "revision": settlement.revision,
        "verdict": settlement.verdict.value,
        "lost": settlement.lost or settlement.verdict is Verdict.LOST,
        "disable": settlement.disable,
        "health": "" if settlement.healthy is None else "ok" if settlement.healthy else "failed",
        "why": settlement.why,
        "reason": settlement.reason,
        "delay": round(settlement.delay * 1000),
        "rest": round(settlement.rest * 1000),
        "log": settlement.log.removeprefix("{"),
        "failed": settlement.verdict is not Verdict.SUCCEEDED,
        "lane": settlement.integration_id,
        "scope": settlement.scope_key,
    }


def _job(job: str, row: dict[str, str], event: dict[str, str], due: float | None) -> Job:
    return Job(
        id=job,
        event_ref=row["event"],
        integration_id=row["lane"],
        state=JobState(row["state"]),
        reason=row.get("reason", ""),
        attempts=int(row["attempts"]),
        epoch=int(row["epoch"]),
        lost=int(row["lost"]),
        opened_at=int(row["opened_at"]),
        ended_at=int(row["ended_at"]) if "ended_at" in row else None,
        due_at=int(due) if due is not None else None,
        event_id=event.get("id", ""),
        event_type=event.get("type", ""),
    )
