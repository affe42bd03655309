"""How attempts end, for the ledger: settlements, and what came of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from worker.domain.integration_log import IntegrationLog
from worker.ledger.lanes.log_records import encoded_log


class Verdict(StrEnum):
    """What an attempt means for its job."""

    #: The job has succeeded.
    SUCCEEDED = "succeeded"
    #: The job has failed.
    FAILED = "failed"
    #: The job is due again.
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What came of an attempt, for the ledger: durations in seconds."""

    job_id: str
    integration_id: str
    scope_key: str
    attempt: int
    verdict: Verdict
    #: Its time is the ledger's: what `created_at` says is not written.
    log: IntegrationLog
    reason: str = ""
    delay: float = 0.0
    rest: float = 0.0
    #: The integration's revision that was tried.
    revision: int = 0
    #: Its worker died: what came of the attempt is unknown.
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
    """Return the argument of settle.lua for a settlement."""
    return {
        "job": settlement.job_id,
        "attempt": settlement.attempt,
        "revision": settlement.revision,
        "verdict": settlement.verdict.value,
        "lost": settlement.lost,
        "disable": settlement.disable,
        "health": "" if settlement.healthy is None else "ok" if settlement.healthy else "failed",
        "why": settlement.why,
        "reason": settlement.reason,
        "delay": round(settlement.delay * 1000),
        "rest": round(settlement.rest * 1000),
        "log": encoded_log(settlement.log),
        "lane": settlement.integration_id,
        "scope": settlement.scope_key,
    }
