"""Openings and claims of jobs, and their form in the arguments and replies of scripts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from worker.domain.claim import Claim
from worker.domain.lifecycle import LIFECYCLE_KEYS
from worker.domain.stored_event import StoredEvent
from worker.ledger.events.wire_event import WireEvent, stored_of
from worker.ledger.lease import NO_TERM


@dataclass(frozen=True, slots=True)
class Opening:
    """A job to be opened."""

    job_id: str
    integration_id: str


@dataclass(frozen=True, slots=True)
class LaneStanding:
    """What the fleet knows of a lane."""

    #: The integration's scope (Scope.key).
    scope_key: str
    #: Whether its attempts did well lately, in any process; False if the last one failed, None if nothing is known.
    did_well: bool | None


@dataclass(frozen=True, slots=True)
class FilledLane:
    """A lane whose backlog has passed `percent` (50 or 90) of its limit; beyond 100 its oldest jobs are cancelled."""

    integration_id: str
    percent: int
    jobs: int
    #: Bytes that these jobs and their events take in Redis.
    size: int


#: Lanes that have no ready job yet, and the time until they have one (seconds), for at most a minute ahead.
Later = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Claimed:
    """The result of a claim."""

    claims: list[Claim]
    #: Lanes that have more ready jobs.
    more: Sequence[str] = ()
    later: Later = field(default_factory=dict)
    #: How many lanes and jobs were left to processes of a newer version.
    newer: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """The result of opening jobs."""

    #: Jobs that were leased to this process at once.
    claims: Sequence[Claim]
    #: Lanes with due jobs that could not be leased because their limits were reached.
    waiting: Sequence[str]
    later: Later = field(default_factory=dict)
    filled: Sequence[FilledLane] = ()
    #: (reference, why) of events whose jobs could not be opened; they stay in the inbox.
    failed: Sequence[tuple[str, str]] = ()
    #: References of events that were not opened because the integrations of their scope have changed.
    outdated: Sequence[str] = ()


class _Job(msgspec.Struct, array_like=True):
    job: str
    lane: str
    revision: int
    scope: str
    ref: str
    attempt: int
    base: int = 0
    epoch: int = 0
    lost: int = 0
    #: The trace of the job's attempts, if its event has none.
    trace: str | None = None

    def claim(self, event: StoredEvent | None, term: int, call: int) -> Claim:
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
            term,
            call,
        )


class _Opened(msgspec.Struct):
    claimed: list[_Job]
    waiting: list[str]
    later: list[tuple[str, int]]
    filled: list[tuple[str, int, int, int]]
    failed: list[tuple[str, str]]
    outdated: list[str] = []


class _Claims(msgspec.Struct):
    jobs: list[_Job]
    events: list[WireEvent]
    more: list[str] = []
    later: list[tuple[str, int]] = []
    newer: int = 0


_opened = msgspec.msgpack.Decoder(_Opened)
_claims = msgspec.msgpack.Decoder(_Claims)
_standings = msgspec.msgpack.Decoder(list[tuple[str, str, int]])


def observed(
    stored: StoredEvent, jobs: Sequence[Opening], last: bool, filtered: int = 0, version: int | None = None
) -> dict[str, Any]:
    """Return the argument of open.lua for an event.

    Args:
        stored: The event.
        jobs: The jobs to be opened.
        last: Whether no more of its jobs follow.
        filtered: How many integrations observe it and do not get it.
        version: The version of its scope's integrations, to be checked; None if the event was loaded with it.
    """
    argument: dict[str, Any] = {
        "ref": stored.ref,
        "minor": stored.minor,
        "size": stored.record_bytes,
        "last": last,
        "jobs": [each.job_id for each in jobs],
        "lanes": [each.integration_id for each in jobs],
    }
    if stored.event.type in LIFECYCLE_KEYS:
        argument["quiet"] = 1
    if filtered:
        argument["filtered"] = filtered
    if version is not None:
        argument["scope"], argument["version"] = stored.event.scope.key, version
    if stored.event.trace is not None:
        argument["trace"] = stored.event.trace.written
    return argument


def opened_of(reply: bytes, stored: Iterable[StoredEvent], renewed: Callable[[], int], call: int) -> Opened:
    """Decode the reply of open.lua for these events; see claimed_of() for `renewed` and `call`."""
    opened = _opened.decode(reply)
    term = renewed() if opened.claimed else NO_TERM
    events = {each.ref: each for each in stored}
    claims = [each.claim(events[each.ref], term, call) for each in opened.claimed]
    filled = [FilledLane(*each) for each in opened.filled]
    return Opened(claims, opened.waiting, later_of(opened.later), filled, opened.failed, opened.outdated)


def later_of(lanes: Iterable[tuple[str, int]]) -> Later:
    """Return the lanes that have no ready job yet, given [(lane, ms)]."""
    return {lane: ms / 1000 for lane, ms in lanes}


def claimed_of(reply: Sequence[bytes], renewed: Callable[[], int], call: int = 0) -> Claimed:
    """Decode the claims of a script's reply.

    Args:
        reply: The reply.
        renewed: A script that leases jobs renews this process's lease too: notes it, and returns the claims' term.
        call: The number of the call; 0 for jobs that were taken over.
    """
    head, *records = reply
    claims = _claims.decode(head)
    traces = {each.ref: each.trace for each in claims.jobs}
    events = {
        wire.ref: stored_of(wire.ref, record, traces.get(wire.ref))
        for wire, record in zip(claims.events, records, strict=True)
    }
    term = renewed() if claims.jobs else NO_TERM
    jobs = [each.claim(events.get(each.ref), term, call) for each in claims.jobs]
    return Claimed(jobs, claims.more, later_of(claims.later), claims.newer)


def standings_of(reply: bytes) -> dict[str, LaneStanding]:
    """Decode the reply of standings.lua."""
    return {
        lane: LaneStanding(scope, None if did_well < 0 else bool(did_well))
        for lane, scope, did_well in _standings.decode(reply)
    }
