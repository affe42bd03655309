"""Openings and claims of jobs, and their form in the arguments and replies of scripts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from worker.domain.claim import Claim
from worker.domain.stored_event import StoredEvent
from worker.ledger.events.wire_event import WireEvent, stored_of


@dataclass(frozen=True, slots=True)
class Opening:
    """A job to be opened."""

    job_id: str
    integration_id: str


@dataclass(frozen=True, slots=True)
class FilledLane:
    """A lane whose backlog has passed `percent` (50 or 90) of its limit; beyond 100 its oldest jobs are cancelled."""

    integration_id: str
    percent: int
    jobs: int
    #: Bytes of the events of these jobs.
    size: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The result of opening jobs."""

    #: Jobs that were leased to this process at once.
    claims: Sequence[Claim]
    #: Lanes with due jobs that could not be leased for lack of room.
    waiting: Sequence[str]
    filled: Sequence[FilledLane] = ()
    #: (reference, why) of events whose jobs could not be opened; they stay in the inbox.
    failed: Sequence[tuple[str, str]] = ()


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
    #: The trace of the job's attempts, if its event has none.
    trace: str | None = None

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


_opened = msgspec.msgpack.Decoder(_Opened)
_claims = msgspec.msgpack.Decoder(_Claims)


def observed(stored: StoredEvent, jobs: Sequence[Opening], last: bool) -> dict[str, Any]:
    """Return the argument of open.lua for an event; `last` means that no more of its jobs follow."""
    argument: dict[str, Any] = {
        "ref": stored.ref,
        "size": len(stored.event.raw),
        "last": last,
        "jobs": [{"id": each.job_id, "lane": each.integration_id} for each in jobs],
    }
    if stored.event.trace is not None:
        argument["trace"] = stored.event.trace.written
    return argument


def opened_of(reply: bytes, stored: Iterable[StoredEvent]) -> Opened:
    """Decode the reply of open.lua for these events."""
    opened = _opened.decode(reply)
    events = {each.ref: each for each in stored}
    claims = [each.claim(events[each.ref]) for each in opened.claimed]
    return Opened(claims, opened.waiting, [FilledLane(*each) for each in opened.filled], opened.failed)


def claims_of(reply: Sequence[bytes]) -> tuple[list[Claim], list[str]]:
    """Decode the claims of a script's reply, and the lanes that have more ready jobs."""
    head, *records = reply
    claims = _claims.decode(head)
    traces = {each.ref: each.trace for each in claims.jobs}
    events = {
        wire.ref: stored_of(wire.ref, record, traces.get(wire.ref))
        for wire, record in zip(claims.events, records, strict=True)
    }
    return [each.claim(events.get(each.ref)) for each in claims.jobs], claims.more
