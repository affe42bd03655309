"""IntegrationLogs, as they are kept and read; settle.lua writes them."""

from collections.abc import Sequence

import msgspec

from worker.events import Scope
from worker.ledger.store import Store
from worker.logs import IntegrationLog


class _Record(msgspec.Struct):
    integration_id: str
    succeeded: bool
    body: str
    status_code: int | None
    error_detail: str
    processing_time: float
    event_id: str
    event_type: str
    created_at: int = 0


_records = msgspec.json.Decoder(_Record)
_encode = msgspec.json.Encoder().encode


def log_record(log: IntegrationLog) -> str:
    """A log as settle() takes it: its job and attempt are its key, its time is the ledger's to say."""
    return _encode(
        {
            "integration_id": log.integration_id,
            "succeeded": log.succeeded,
            "body": log.body,
            "status_code": log.status_code,
            "error_detail": log.error_detail,
            "processing_time": round(log.processing_time, 6),
            "event_id": log.event_id,
            "event_type": log.event_type,
        }
    ).decode()


class Logs:
    """The logs of the ledger, the newest first."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of_scope(self, scope: Scope, offset: int, limit: int) -> list[IntegrationLog]:
        """A store's logs (or an organisation's own)."""
        return await self._read(await self._store.newest(f"logs:store:{scope.key}", offset, limit))

    async def of_integration(self, integration_id: str, offset: int, limit: int) -> list[IntegrationLog]:
        """One integration's logs."""
        return await self._read(await self._store.newest(f"logs:integration:{integration_id}", offset, limit))

    async def failures(self, scope: Scope, offset: int, limit: int) -> list[IntegrationLog]:
        """The failed attempts of a scope."""
        return await self._read(await self._store.newest(f"logs:failures:{scope.key}", offset, limit))

    async def of_job(self, job_id: str, attempts: int) -> list[IntegrationLog]:
        """A job's logs, the last attempt first; their ids follow from the job's, so that no index is needed."""
        return await self._read([f"{job_id}:{attempt}" for attempt in range(attempts, 0, -1)])

    async def _read(self, members: Sequence[str]) -> list[IntegrationLog]:
        if not members:
            return []
        found = await self._store.call_many("mget", [f"log:{member}" for member in members])
        return [_log(member, record) for member, record in zip(members, found, strict=True) if record]


def _log(member: str, raw: bytes) -> IntegrationLog:
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
        created_at=record.created_at,
        event_id=record.event_id,
        event_type=record.event_type,
    )
