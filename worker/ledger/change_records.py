"""The audit: records of the changes that people make. The script that makes a change writes its record."""

from collections.abc import Mapping
from typing import Any, Self

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
#: The newest changes of the ledger among which those of one subject are looked for.
LOOKED_AT = 1_000


class ChangeHeading(msgspec.Struct, array_like=True):
    """The beginning of a record."""

    #: Milliseconds; change_records.lua writes it.
    made_at: int
    id: str
    token_id: str
    actor: str
    action: str
    subject_type: str
    subject_id: str


class _Record(ChangeHeading, array_like=True):
    """A change as the ledger stores it, an array. Its key names the scope.

    change_records.lua may add a number.
    """

    before: dict[str, Any]
    after: dict[str, Any]


_headings = msgspec.json.Decoder(ChangeHeading)
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
        **_bounds(policy),
    }


def _bounds(policy: LedgerPolicy) -> dict[str, int]:
    return {
        "audit_cap": policy.audit_cap,
        "audit_retention": policy.audit_retention,
        "audit_archived": int(policy.history),
    }


class ChangeRecords:
    """Reads the audit of a scope, the newest change first."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    def until(self, till: int | None) -> Self:
        """Return a reader whose lists may leave out what is newer than `till` (ms), where that reaches further back."""
        return self

    async def of_scope(self, scope: Scope, offset: int, limit: int) -> Page[Change]:
        """Return a page of the changes of a store, or of an organisation's own."""
        total, *records = await self._redis.run(
            "page_changes", scope=scope.key, offset=offset, limit=limit, **_bounds(self._redis.policy)
        )
        return Page([decoded_change(scope.key, each) for each in records], int(total))

    async def of_subject(self, scope: Scope, subject: str) -> Page[Change]:
        """Return the changes of one subject among the newest of a scope; `at_least` says that there are older ones."""
        page = await ChangeRecords.of_scope(self, scope, 0, LOOKED_AT)
        found = [each for each in page.items if each.subject_id == subject]
        return Page(found, len(found), at_least=page.total > LOOKED_AT)

    async def ids_of(self, scope: Scope, most: int) -> list[str]:
        """Return the ids of a scope's newest changes, at most `most`."""
        found: dict[str, None] = {}
        read = 0
        while read < most:
            limit = min(LOOKED_AT, most - read)
            raws = await self._redis.call("lrange", f"audit:{scope.key}", read, read + limit - 1)
            read += len(raws)
            found |= dict.fromkeys(heading_of(raw).id for raw in raws)
            if len(raws) < limit:
                break
        return list(found)


def _bounded(state: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    room = STATE_BYTES
    for name, value in state.items():
        size = len(_encode(value))
        fits = size <= min(VALUE_BYTES, room)
        kept[name] = value if fits else f"(left out: {size:,} bytes)"
        room -= size if fits else 0
    return kept


def heading_of(raw: bytes | str) -> ChangeHeading:
    """Return the beginning of a record. Raises msgspec.MsgspecError."""
    return _headings.decode(raw)


def decoded_change(scope_key: str, raw: bytes | str) -> Change:
    """Return the change of a record."""
    record = _records.decode(raw)
    return Change(
        actor=Actor(record.token_id, record.actor),
        action=ChangeAction(record.action),
        scope_key=scope_key,
        subject_type=record.subject_type,
        subject_id=record.subject_id,
        before=record.before,
        after=record.after,
        id=record.id,
        made_at=record.made_at,
    )
