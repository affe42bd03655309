"""The outbox of transitions that lifecycle events report: each is published once, whichever process finds it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from worker.domain.event import Event, Ingress
from worker.domain.lifecycle import ExhaustedJobs, Notice
from worker.ledger.connection.redis_client import RedisClient
from worker.ledger.events.inbox import acceptance

_notice = msgspec.json.Decoder(Notice, strict=False)


def notice_of(written: str) -> Notice | None:
    """Return the notice of an entry of the outbox, or None if a newer version wrote it."""
    try:
        return _notice.decode(written)
    except msgspec.DecodeError:
        return None


class Notices:
    """Takes notices off the outbox, together with the acceptance of their events."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def note_ending(self, integration_id: str, field: str, ends: int) -> None:
        """Note that a certificate runs out (ms since 1970); once for each end, whichever process does so."""
        await self._redis.run("note_ending", lane=integration_id, field=field, ends=ends)

    async def publish(self, written: str, events: Sequence[Event]) -> bool:
        """Accept the events that report a transition; return False if another process has done it."""
        return bool(await self._redis.run_confirmed("publish_notice", notice=written, **self._with(events)))

    async def publish_exhausted(self, jobs: ExhaustedJobs, events: Sequence[Event]) -> bool:
        """Accept the events that report jobs that failed; return False if another process has done it."""
        done = await self._redis.run_confirmed(
            "publish_exhausted", lane=jobs.lane, number=jobs.number, **self._with(events)
        )
        return bool(done)

    def _with(self, events: Sequence[Event]) -> dict[str, Any]:
        return acceptance(events, Ingress.INTEGRATIONS, self._redis.policy)
