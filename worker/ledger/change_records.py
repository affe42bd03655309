"""The audit: records of the changes that people make. The script that makes a change writes its record."""

from collections.abc import Mapping
from typing import Any

import msgspec

from worker.domain.change import Actor, Change, ChangeAction
from worker.domain.event import Scope
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.pages import Page
from worker.ledger.policy import LedgerPolicy

#: Bytes (as JSON) of one attribute's value in a record; a longer value is left out.
VALUE_BYTES = 2_048
#: Bytes of all attributes of one state; what exceeds it is left out.
STATE_BYTES = 8_192


class _Record(msgspec.Struct, array_like=True):
    """A change as the ledger stores it, an array. Its key names the scope."""

    #: Milliseconds; change_records.lua writes it.
    made_at: int
    id: str
    token_id: str
    actor: str
    action: str
    subject_type: str
    subject_id: str
    before: dict[str, Any]
    after: dict[str, Any]


_records = msgspec.json.Decoder(_Record)
_encode = msgspec.json.Encoder().encode


def change_arguments(change: Change | None, policy: LedgerPolicy) -> dict[str, Any]:
    """Return the arguments of a script that records a change; None records nothing."""
    if change is None:
        return {}
    record = _Record(
        0,
        change.id,
        change.actor.token_id,
        change.actor.name,
        change.action.value,
        change.subject_type,
        change.subject_id,
        _bounded(change.before),
        _bounded(change.after),
    )
    return {
        "change": {"scope": change.scope_key, "record": _encode(record).decode()},
        "audit_cap": policy.audit_cap,
        "audit_retention": policy.audit_retention,
    }


class ChangeRecords:
    """Reads the audit of a scope, the newest change first."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def of_scope(self, scope: Scope, offset: int, limit: int) -> Page[Change]:
        """Return a page of the changes of a store, or of an organisation's own."""
        total, *records = await self._redis.run(
            "page_changes",
            scope=scope.key,
            offset=offset,
            limit=limit,
            audit_retention=self._redis.policy.audit_retention,
        )
        return Page([_change(scope, each) for each in records], int(total))


def _bounded(state: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    room = STATE_BYTES
    for name, value in state.items():
        size = len(_encode(value))
        fits = size <= min(VALUE_BYTES, room)
        kept[name] = value if fits else f"(left out: {size:,} bytes)"
        room -= size if fits else 0
    return kept


def _change(scope: Scope, raw: bytes) -> Change:
    record = _records.decode(raw)
    return Change(
        actor=Actor(record.token_id, record.actor),
        action=ChangeAction(record.action),
        scope_key=scope.key,
        subject_type=record.subject_type,
        subject_id=record.subject_id,
        before=record.before,
        after=record.after,
        id=record.id,
        made_at=record.made_at,
    )
