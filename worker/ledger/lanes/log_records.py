"""IntegrationLogs in the ledger: their one encoding, and reading them."""

from collections.abc import Sequence

import msgspec

from worker.domain.event import Scope
from worker.domain.integration_log import IntegrationLog
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.pages import Page


class _Record(msgspec.Struct):
    """A log as the ledger keeps it. Its job and attempt are in its key."""

    integration_id: str
    succeeded: bool
    body: str
    status_code: int | None
    error_detail: str
    processing_time: float
    event_id: str
    event_type: str
    #: Milliseconds; attempt_logs.lua puts it in front of the record.
    created_at: int | msgspec.UnsetType = msgspec.UNSET


class _Head(msgspec.Struct):
    members: list[str]
    total: int
    scope: str = ""
    lane: str = ""


_heads = msgspec.msgpack.Decoder(_Head)
_records = msgspec.json.Decoder(_Record)
_encode = msgspec.json.Encoder().encode


def encoded_log(log: IntegrationLog) -> str:
    """Return a log as settle.lua takes it: a JSON object without its time, which the ledger adds."""
    record = _Record(
        log.integration_id,
        log.succeeded,
        log.body,
        log.status_code,
        log.error_detail,
        round(log.processing_time, 6),
        log.event_id,
        log.event_type,
    )
    return _encode(record).decode()


class LogRecords:
    """The logs of the ledger, the newest first."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def of_scope(self, scope: Scope, offset: int, limit: int) -> Page[IntegrationLog]:
        """A store's logs (or an organisation's own)."""
        return await self._page(f"store:{scope.key}", offset, limit)

    async def of_integration(self, integration_id: str, offset: int, limit: int) -> Page[IntegrationLog]:
        """One integration's logs, and whose it is."""
        return await self._page(f"integration:{integration_id}", offset, limit, integration_id)

    async def failures(self, scope: Scope, offset: int, limit: int) -> Page[IntegrationLog]:
        """The failed attempts of a scope."""
        return await self._page(f"failures:{scope.key}", offset, limit)

    async def of_job(self, job_id: str, offset: int, limit: int, integration_id: str = "") -> Page[IntegrationLog]:
        """A job's logs, the last attempt first, and to whom it is owed: no integration where there is no such job.

        Where retention has dropped the job, its logs are found by the integration to which it was owed.
        """
        head, *raws = await self._redis.run(
            "page_job_logs", job=job_id, offset=offset, limit=limit, integration=integration_id
        )
        return _page(_heads.decode(head), raws)

    async def _page(self, index: str, offset: int, limit: int, integration: str = "") -> Page[IntegrationLog]:
        retention = self._redis.policy.log_retention
        head, *raws = await self._redis.run(
            "page_logs", index=index, offset=offset, limit=limit, retention=retention, integration=integration
        )
        return _page(_heads.decode(head), raws)


def _page(head: _Head, raws: Sequence[bytes]) -> Page[IntegrationLog]:
    logs = [decoded_log(member, raw) for member, raw in zip(head.members, raws, strict=True)]
    return Page(logs, head.total, head.scope, head.lane)


def decoded_log(member: str, raw: bytes | str) -> IntegrationLog:
    """Return a log of the ledger; `member` names its job and attempt."""
    job, attempt = member.rsplit(":", 1)
    record = _records.decode(raw)
    return IntegrationLog(
        job_id=job,
        integration_id=record.integration_id,
        attempt=int(attempt),
        succeeded=record.succeeded,
        body=record.body,
        status_code=record.status_code,
        error_detail=record.error_detail,
        processing_time=record.processing_time,
        created_at=record.created_at or 0,
        event_id=record.event_id,
        event_type=record.event_type,
    )
