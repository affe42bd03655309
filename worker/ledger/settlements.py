"""How attempts end, for the ledger: what it is told, and what it makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec


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
class Settled:
    """How the ledger took settlements: `settled`, `renewed`, `late` or `stale` (see settle.lua), and what follows."""

    results: Sequence[str]
    #: Lanes that have ready jobs and room.
    more: Sequence[str]
    circuits: Sequence[CircuitChange] = ()
    broken: Sequence[BrokenReceiver] = ()


class _Settled(msgspec.Struct):
    results: list[str]
    more: list[str]
    circuits: list[tuple[str, str, int]]
    broken: list[tuple[str, int, int, int]]


_settled = msgspec.msgpack.Decoder(_Settled)


def settled_of(reply: bytes) -> Settled:
    """What came of settling."""
    settled = _settled.decode(reply)
    changes = [CircuitChange(lane, word == "open", until) for lane, word, until in settled.circuits]
    return Settled(settled.results, settled.more, changes, [BrokenReceiver(*each) for each in settled.broken])


def item_of(settlement: Settlement) -> dict[str, Any]:
    """What settle is told of one."""
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
