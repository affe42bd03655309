"""Settlements of attempts, and the ledger's answers to them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from deliverers.quick_values import quickly_made
from worker.domain.integration_log import IntegrationLog
from worker.domain.lifecycle import LIFECYCLE_KEYS
from worker.ledger.lanes.claims import Later, later_of
from worker.ledger.lanes.log_records import encoded_exchange


class Verdict(StrEnum):
    """The effect of an attempt on its job."""

    #: The job has succeeded.
    SUCCEEDED = "succeeded"
    #: The job has failed.
    FAILED = "failed"
    #: The job is due again.
    RETRY = "retry"


@quickly_made
@dataclass(frozen=True, slots=True)
class Settlement:
    """The outcome of an attempt, for the ledger; durations in seconds."""

    job_id: str
    integration_id: str
    scope_key: str
    attempt: int
    verdict: Verdict
    #: The log to write; the ledger sets its time and ignores `created_at`.
    log: IntegrationLog
    #: Why the job failed.
    reason: str = ""
    #: Time until the job is due again.
    delay: float = 0.0
    #: How long the whole lane rests.
    rest: float = 0.0
    #: The integration's revision that the attempt used.
    revision: int = 0
    #: Whether the attempt's worker died, so that its outcome is unknown.
    lost: bool = False
    #: Why the integration is to be disabled; empty if it is not.
    disable: str = ""
    #: Whether the receiver is healthy; None if the attempt does not show it.
    healthy: bool | None = None
    #: What went wrong, in words.
    why: str = ""


@dataclass(frozen=True, slots=True)
class CircuitChange:
    """An integration's circuit has opened until `until` (ms), or has closed (`until` is 0)."""

    integration_id: str
    is_open: bool
    until: int


@dataclass(frozen=True, slots=True)
class BrokenReceiver:
    """A receiver that has only failed since `since` (ms), for `percent` of the time that it may."""

    integration_id: str
    #: 50 or 90; at 100 the integration is disabled.
    percent: int
    since: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Settled:
    """The ledger's answer to settlements."""

    #: For each settlement: `settled`, `renewed`, `late` or `stale` (see settle.lua).
    results: Sequence[str]
    #: Lanes that have ready jobs and free slots.
    more: Sequence[str]
    later: Later = field(default_factory=dict)
    circuits: Sequence[CircuitChange] = ()
    broken: Sequence[BrokenReceiver] = ()


class _Settled(msgspec.Struct):
    results: list[str]
    more: list[str]
    later: list[tuple[str, int]]
    circuits: list[tuple[str, str, int]]
    broken: list[tuple[str, int, int, int]]


_settled = msgspec.msgpack.Decoder(_Settled)


def settled_of(reply: bytes) -> Settled:
    """Decode the reply of settle.lua."""
    settled = _settled.decode(reply)
    changes = [CircuitChange(lane, word == "open", until) for lane, word, until in settled.circuits]
    broken = [BrokenReceiver(*each) for each in settled.broken]
    return Settled(settled.results, settled.more, later_of(settled.later), changes, broken)


def item_of(settlement: Settlement) -> list[Any]:
    """Return the argument of settle.lua for a settlement; its log is given apart."""
    log, healthy = settlement.log, settlement.healthy
    item = [
        settlement.job_id,
        settlement.attempt,
        settlement.revision,
        settlement.integration_id,
        settlement.scope_key,
        settlement.verdict.value,
        round(log.processing_time * 1000),
        "" if healthy is None else "ok" if healthy else "failed",
    ]
    # Redis spends time on each value, and a success has none of these.
    rare = {
        "quiet": int(log.event_type in LIFECYCLE_KEYS),
        "lost": settlement.lost,
        "disable": settlement.disable,
        "why": settlement.why,
        "reason": settlement.reason,
        "delay": round(settlement.delay * 1000),
        "rest": round(settlement.rest * 1000),
        "exchange": encoded_exchange(log),
    }
    if found := {name: value for name, value in rare.items() if value}:
        item.append(found)
    return item
