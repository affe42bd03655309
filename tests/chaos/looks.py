"""Looks into the ledger and the broker while a run goes on: what is in flight, and what still waits."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

import redis
from kombu.connection import Connection

from config.celery import EVENTS_QUEUE, INTAKE_QUEUE
from tests.chaos.stage import Stage
from tests.chaos.victims import ProcessVictim
from tests.fleet.producers import count_on_list
from tests.ledger import inspection
from worker.ledger import LedgerUnavailable

#: Redis may have been killed just now, or read its data; what is owed is delivered in the end, on a busy machine
#: too (seconds).
PATIENCE = 120.0
#: Nothing may have moved for so many looks in a row, so far apart (seconds).
QUIET_LOOKS = 4
LOOK_SECONDS = 0.5

T = TypeVar("T")


async def in_flight(stage: Stage, *workers: ProcessVictim) -> int:
    """Attempts that are leased to the present lives of the workers."""
    ready = [worker.said("worker ready") for worker in workers]
    owners = [said["owner"] for said in ready if said]
    return await _patiently(lambda: inspection.lease_count(stage.ledger, *owners))


async def until_quiet(stage: Stage, report: Callable[[], None]) -> int:
    """Waits until nothing is owed, and nothing has moved for a while; answers how much still waits after all."""
    end, still, last, waiting = monotonic() + PATIENCE, 0, None, 0
    while still < QUIET_LOOKS and monotonic() < end:
        status = await _patiently(stage.ledger.status.read)
        waiting = status.inbox + status.pending + await _queued(stage)
        still = still + 1 if not waiting and status.counters == last else 0
        last = status.counters
        report()
        await asyncio.sleep(LOOK_SECONDS)
    return waiting


async def _queued(stage: Stage) -> int:
    """Messages on the queues of events: what is in a worker's hands is soon in the inbox."""
    if stage.rabbit is not None:
        return await asyncio.to_thread(_ready_messages, stage.rabbit.url())
    readers = await _patiently(lambda: inspection.list_readers(stage.ledger))
    return readers + await _patiently(lambda: _waiting_in_lists(stage))


def _ready_messages(url: str) -> int:
    with Connection(url) as connection:
        channel = connection.channel()
        queues = (EVENTS_QUEUE, INTAKE_QUEUE, f"{INTAKE_QUEUE}.dead")
        return sum(channel.queue_declare(name, passive=True).message_count for name in queues)


async def _waiting_in_lists(stage: Stage) -> int:
    """Messages of Redis that nobody has taken."""
    return sum(count_on_list(stage.redis_server.url, name) for name in (EVENTS_QUEUE, INTAKE_QUEUE))


async def _patiently(read: Callable[[], Awaitable[T]]) -> T:
    """Reads Redis, to which connections may be those of an earlier life."""
    end = monotonic() + PATIENCE
    while True:
        try:
            return await read()
        except (LedgerUnavailable, redis.ConnectionError, redis.TimeoutError):
            if monotonic() > end:
                raise
            await asyncio.sleep(LOOK_SECONDS / 10)
