"""IntegrationLogs in the ledger: their encoding, and how to read them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple, Self

import msgspec

from deliverers.exchange import PhaseTimes, WireRecord
from worker.domain.compact_id import bytes_of_written, written_uuid
from worker.domain.event import Scope
from worker.domain.integration_log import IntegrationLog
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.pages import Page


class LogHead(NamedTuple):
    """The beginning of a log's record."""

    #: Milliseconds; the ledger writes it.
    created_at: int
    integration_id: str
    succeeded: bool


class _Rest(msgspec.Struct, array_like=True):
    """The rest of a log's record. Its key names the job and the attempt."""

    #: The first, where log_records.lua finds it.
    body: str
    status_code: int | None
    error_detail: str
    #: Microseconds.
    processing_time: int
    #: The bytes of a UUID, or those of a text.
    event_id: bytes
    event_type: str
    #: Microseconds: first byte, TLS, connecting, DNS; null for a phase without a time, and cut behind the last one.
    times: list[int | None] = []


class _KeptExchange(WireRecord, frozen=True):
    """An exchange with the process that made the attempt; kept_exchanges.lua adds it."""

    worker: str = ""


class _Head(msgspec.Struct):
    members: list[str]
    total: int
    scope: str = ""
    lane: str = ""


_heads = msgspec.msgpack.Decoder(_Head)
_exchanges = msgspec.json.Decoder(_KeptExchange)
_rests = msgspec.msgpack.Decoder(_Rest)
_pack = msgspec.msgpack.Encoder().encode
_encode = msgspec.json.Encoder().encode
#: The marks of a record: the attempt succeeded, the integration's id is a UUID, and the event's id is one.
_SUCCEEDED, _UUID, _EVENT_UUID = 1, 2, 4
_TIME_BYTES = 6


def encoded_log(log: IntegrationLog) -> bytes:
    """Return a log as settle.lua expects it: without the time, which the ledger writes (lua/parts/log_records.lua)."""
    event_id = bytes_of_written(log.event_id)
    rest = _Rest(
        log.body,
        log.status_code,
        log.error_detail,
        round(log.processing_time * 1_000_000),
        log.event_id.encode() if event_id is None else event_id,
        log.event_type,
        _packed_times(log.exchange),
    )
    marks = (_SUCCEEDED if log.succeeded else 0) | (_EVENT_UUID if event_id is not None else 0)
    return _head(log.integration_id, marks) + _pack(rest)


@lru_cache(4096)  # a worker sees the same integrations again and again
def _head(integration_id: str, marks: int) -> bytes:
    """Return the marks of a record, and its integration."""
    if value := bytes_of_written(integration_id):
        return bytes([marks | _UUID]) + value
    text = integration_id.encode()
    return bytes([marks, len(text)]) + text


def _packed_times(exchange: WireRecord | None) -> list[int | None]:
    if exchange is None:
        return []
    times = exchange.times
    packed = [
        None if each is None else round(each * 1_000_000)
        for each in (times.first_byte, times.tls, times.connect, times.dns)
    ]
    while packed and packed[-1] is None:
        packed.pop()
    return packed


def _exchange_of(packed: Sequence[int | None]) -> WireRecord | None:
    if not packed:
        return None
    first_byte, tls, connect, dns = (
        None if each is None else each / 1_000_000 for each in (*packed, None, None, None)[:4]
    )
    return WireRecord(PhaseTimes(dns, connect, tls, first_byte))


def encoded_exchange(log: IntegrationLog) -> str:
    """Return what settle.lua keeps beside a log: its request and answer as JSON; empty if there is none."""
    exchange = log.exchange
    return "" if exchange is None or exchange.request is None else _encode(exchange).decode()


class LogRecords:
    """Reads the logs of the ledger, the newest first."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    def until(self, till: int | None) -> Self:
        """Return a reader whose lists may leave out what is newer than `till` (ms), where that reaches further back."""
        return self

    async def of_scope(self, scope: Scope, offset: int, limit: int) -> Page[IntegrationLog]:
        """Return a page of a store's logs, or of an organisation's own."""
        return await self._page(f"store:{scope.key}", offset, limit)

    async def of_integration(self, integration_id: str, offset: int, limit: int) -> Page[IntegrationLog]:
        """Return a page of an integration's logs, with the integration's scope."""
        return await self._page(f"integration:{integration_id}", offset, limit, integration_id)

    async def failures(self, scope: Scope, offset: int, limit: int) -> Page[IntegrationLog]:
        """Return a page of the logs of a scope's failed attempts."""
        return await self._page(f"failures:{scope.key}", offset, limit)

    async def of_job(self, job_id: str, offset: int, limit: int, integration_id: str = "") -> Page[IntegrationLog]:
        """Return a page of a job's logs, the last attempt first, with its integration and scope.

        Both are empty if there is no such job. If retention has dropped the job, `integration_id` still finds its logs:
        it names the integration that the job was for.
        """
        head, *raws = await self._redis.run(
            "page_job_logs", job=job_id, offset=offset, limit=limit, integration=integration_id
        )
        return _page(_heads.decode(head), raws)

    async def with_exchanges(self, logs: Sequence[IntegrationLog]) -> list[IntegrationLog]:
        """Return the logs with what the ledger keeps of their requests and answers; one round trip."""
        if not logs:
            return []
        found = await self._redis.atomically(
            *(("hget", f"exchanges:{log.integration_id}", f"{log.job_id}:{log.attempt}") for log in logs)
        )
        return [with_exchange(log, raw) if raw else log for log, raw in zip(logs, found, strict=True)]

    async def members(self, index: str, most: int, offset: int = 0) -> list[tuple[str, int]]:
        """Return the job and the attempt of each log of an index, the newest first; at most `most` from an offset on.

        The index is `store:` or `failures:` with a scope's key, or `integration:` with an id.
        """
        found = await self._redis.call("lrange", f"logs:{index}", -offset - most, -offset - 1)
        pairs = (member.decode().rpartition(":") for member in reversed(found))
        return [(job, int(attempt)) for job, _, attempt in pairs]

    async def _page(self, index: str, offset: int, limit: int, integration: str = "") -> Page[IntegrationLog]:
        head, *raws = await self._redis.run(
            "page_logs", index=index, offset=offset, limit=limit, integration=integration
        )
        return _page(_heads.decode(head), raws)


def without_answer(record: bytes) -> bytes:
    """Return a log of the ledger without the body of the receiver's answer."""
    _, start = _split(record)
    return record[:start] + _pack(msgspec.structs.replace(_rests.decode(record[start:]), body=""))


def head_of_log(record: bytes) -> LogHead:
    """Return the beginning of a log of the ledger."""
    return _split(record)[0]


def time_of_log(record: bytes) -> int:
    """Return the time of a log of the ledger (ms)."""
    return int.from_bytes(record[:_TIME_BYTES], "big")


def _split(record: bytes) -> tuple[LogHead, int]:
    """Return the beginning of a record, and where the rest begins."""
    marks, start = record[_TIME_BYTES], _TIME_BYTES + 1
    if marks & _UUID:
        end = start + 16
        integration = written_uuid(record[start:end])
    else:
        end = start + 1 + record[start]
        integration = record[start + 1 : end].decode()
    return LogHead(time_of_log(record), integration, bool(marks & _SUCCEEDED)), end


def with_exchange(log: IntegrationLog, raw: bytes) -> IntegrationLog:
    """Return a log with what was sent and answered, and by which process, as kept_exchanges.lua keeps it."""
    kept = _exchanges.decode(raw)
    return replace(log, exchange=WireRecord(kept.times, kept.request, kept.answer), worker=kept.worker)


def _page(head: _Head, raws: Sequence[bytes]) -> Page[IntegrationLog]:
    logs = [decoded_log(member, raw) for member, raw in zip(head.members, raws, strict=True)]
    return Page(logs, head.total, head.scope, head.lane)


def decoded_log(member: str, raw: bytes) -> IntegrationLog:
    """Decode a log of the ledger; `member` names its job and attempt."""
    job, attempt = member.rsplit(":", 1)
    head, start = _split(raw)
    rest = _rests.decode(raw[start:])
    return IntegrationLog(
        job_id=job,
        integration_id=head.integration_id,
        attempt=int(attempt),
        succeeded=head.succeeded,
        body=rest.body,
        status_code=rest.status_code,
        error_detail=rest.error_detail,
        processing_time=rest.processing_time / 1_000_000,
        created_at=head.created_at,
        event_id=written_uuid(rest.event_id) if raw[_TIME_BYTES] & _EVENT_UUID else rest.event_id.decode(),
        event_type=rest.event_type,
        exchange=_exchange_of(rest.times),
    )
