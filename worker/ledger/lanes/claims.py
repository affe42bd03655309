"""Openings and claims of jobs, and their form in the arguments and replies of scripts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from worker.domain.claim import Claim
from worker.domain.stored_event import StoredEvent
from worker.ledger.events.wire_event import WireEvent


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
    newer: int = 0


_opened = msgspec.msgpack.Decoder(_Opened)
_claims = msgspec.msgpack.Decoder(_Claims)


def observed(stored: StoredEvent, jobs: Sequence[Opening], last: bool) -> dict[str, Any]:
    """Return the argument of open.lua for an event; `last` means that no more of its jobs follow."""
    argument: dict[str, Any] = {
        "ref": stored.ref,
        "acceptance": stored.acceptance,
        "minor": stored.minor,
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


@dataclass(frozen=True, slots=True)
class Claimed:
    """The result of a claim."""

    claims: list[Claim]
    #: Lanes that have more ready jobs.
    more: list[str]
    #: How many lanes and jobs were left to processes of a newer version.
    newer: int


def claims_of(reply: Sequence[bytes]) -> Claimed:
    """Decode the reply of a script that leases jobs."""
    head, *raws = reply
    found = _claims.decode(head)
    events = {wire.ref: wire.stored(raw) for wire, raw in zip(found.events, raws, strict=True)}
    return Claimed([each.claim(events.get(each.ref)) for each in found.jobs], found.more, found.newer)
