"""What fits into how much of the memory of Redis: what an event, a job, a log and an integration take.

    python -m tests.benchmarks.capacity [--count N] [--beside CHECKOUT]

Each event has content of its own. At the end every kind of key is weighed: MEMORY USAGE of each key, and the rest,
which is Redis's own tables of keys. With `--beside` another checkout of this project is weighed too.
"""

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from config.observable_events import load_catalogue
from deliverers.exchange import PhaseTimes, WireRecord
from tests.benchmarks.order import OBSERVABLE_KEY, ORG_ID
from tests.benchmarks.private_redis import PrivateRedis
from tests.benchmarks.varied_orders import VariedOrders
from tests.ledger import inspection
from worker.domain.claim import Claim
from worker.domain.event import Event, Scope
from worker.domain.event_parser import EventRules, parse_event
from worker.domain.integration import Integration
from worker.domain.integration_log import IntegrationLog
from worker.domain.job import job_id
from worker.domain.stored_event import StoredEvent
from worker.ledger import Ledger, LedgerPolicy, Settlement, Verdict
from worker.ledger.lanes.claims import Opening
from worker.ledger.policy import MAX_JOBS_PER_CALL

#: What a receiver typically answers, in bytes.
ANSWER_BYTES = 100
GIB = 1 << 30
#: The aim for a delivered event, its job and its log together (bytes).
MOST_BYTES = 1_800


@dataclass(frozen=True, slots=True)
class Share:
    """What one of something takes."""

    name: str
    size: float

    @property
    def per_gib(self) -> float:
        """How many of it fill a GiB."""
        return GIB / self.size


class Filling:
    """A ledger that is filled step by step, and weighed after each."""

    def __init__(self, ledger: Ledger, count: int) -> None:
        self._ledger = ledger
        self._count = count
        self._scope = Scope(ORG_ID, "capacity")
        self._stored: list[StoredEvent] = []
        self._lanes: list[str] = []

    async def weigh(self) -> tuple[float, list[Share], list[Share]]:
        """Bytes of an event's own JSON, what each thing takes of the memory of Redis, and what each kind of key."""
        await self._register(1)
        integrations = await self._step("an integration", self._register_many)
        before, empty = await self._used(), await inspection.key_kinds(self._ledger)
        shares = [
            integrations,
            await self._step("an event that waits to be observed", self._accept),
            await self._step("and its job, that waits to be delivered", self._open),
            await self._step("and its attempt, with the log (3 days)", self._settle),
        ]
        added = await self._used() - before
        weighed = await inspection.key_kinds(self._ledger)
        kinds = [Share(kind, (size - empty.get(kind, 0)) / self._count) for kind, size in weighed.items()]
        kinds = sorted((each for each in kinds if each.size >= 1), key=lambda each: -each.size)
        kinds.append(Share("tables of keys, and other", added / self._count - sum(each.size for each in kinds)))
        return sum(len(each.event.raw) for each in self._stored) / self._count, shares, kinds

    async def _step(self, name: str, step: Callable[[], Awaitable[None]]) -> Share:
        before = await self._used()
        await step()
        return Share(name, (await self._used() - before) / self._count)

    async def _used(self) -> int:
        return await inspection.stored_memory(self._ledger)

    async def _register_many(self) -> None:
        await self._register(self._count)

    async def _register(self, count: int) -> None:
        for _ in range(count):
            integration = Integration(
                id=str(uuid4()),
                scope=self._scope,
                name="ERP",
                integration_type="webhook",
                observes=(OBSERVABLE_KEY, "order.created", "order.fulfilled"),
                configuration={"url": "https://erp.example.com/hooks/orders"},
            )
            await self._ledger.integrations.put(integration, expect=0)
            self._lanes.append(integration.id)

    async def _accept(self) -> None:
        orders, rules = VariedOrders("capacity", 2), EventRules(load_catalogue())
        for _ in range(0, self._count, MAX_JOBS_PER_CALL):
            parsed = [parse_event(orders.event(), rules) for _ in range(MAX_JOBS_PER_CALL)]
            events = [each for each in parsed if isinstance(each, Event)]
            await self._ledger.inbox.accept(events)
            self._stored += (await self._ledger.inbox.load([each.ref for each in events])).events

    async def _open(self) -> None:
        for lane, batch in zip(self._lanes, self._batches(), strict=False):
            jobs = [(each, [Opening(job_id(each.ref, lane), lane)], True) for each in batch]
            await self._ledger.jobs.open(jobs, 0)

    async def _settle(self) -> None:
        for lane, _ in zip(self._lanes, self._batches(), strict=False):
            while claims := (await self._ledger.jobs.claim([lane], MAX_JOBS_PER_CALL)).claims:
                await self._ledger.jobs.settle([_delivered(each) for each in claims])

    def _batches(self) -> Iterator[list[StoredEvent]]:
        stored = iter(self._stored)
        while batch := list(islice(stored, MAX_JOBS_PER_CALL)):
            yield batch


def _delivered(claim: Claim) -> Settlement:
    log = IntegrationLog(
        job_id=claim.job_id,
        integration_id=claim.integration_id,
        attempt=claim.attempt,
        succeeded=True,
        body="x" * ANSWER_BYTES,
        status_code=200,
        error_detail="",
        processing_time=0.0123,
        event_id=claim.event.event.id if claim.event else "",
        event_type=OBSERVABLE_KEY,
        # A connection that was open already.
        exchange=WireRecord(PhaseTimes(first_byte=0.0117)),
    )
    return Settlement(
        claim.job_id,
        claim.integration_id,
        claim.scope_key,
        claim.attempt,
        Verdict.SUCCEEDED,
        log,
        healthy=True,
    )


async def measure(redis_server: PrivateRedis, count: int) -> tuple[float, list[Share], list[Share]]:
    """Weighs `count` of everything."""
    ledger = Ledger(redis_server.url, LedgerPolicy(log_cap=10 * count))
    await ledger.open()
    try:
        return await Filling(ledger, count).weigh()
    finally:
        await ledger.close()


def main() -> int:
    """Answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.capacity", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="of everything")
    parser.add_argument("--beside", type=Path, help="another checkout of this project")
    given = parser.parse_args()
    count = max(1, given.count // MAX_JOBS_PER_CALL) * MAX_JOBS_PER_CALL
    with TemporaryDirectory(prefix="edw-bench-", ignore_cleanup_errors=True) as folder:
        redis_server = PrivateRedis(Path(folder) / "c", "everysec")
        try:
            redis_server.start()
            raw, shares, kinds = asyncio.run(measure(redis_server, count))
        finally:
            redis_server.program.stop()
    print(f"{count:,} of each; an event is {raw:,.0f} bytes of JSON, an answer {ANSWER_BYTES}")
    for share in shares:
        print(f"{share.name:<42} {share.size:>8,.0f} bytes {share.per_gib:>12,.0f} in a GiB")
    print("by kind of key:")
    for kind in kinds:
        print(f"  {kind.name:<40} {kind.size:>8,.0f} bytes")
    total = sum(share.size for share in shares[1:])
    reached = total <= MOST_BYTES
    print(
        f"a delivered event: {total:,.0f} bytes; aim {MOST_BYTES:,}: {'reached' if reached else 'MISSED'}", flush=True
    )
    if given.beside:
        print(f"beside ({given.beside}):", flush=True)
        command = [sys.executable, "-m", "tests.benchmarks.capacity", "--count", str(count)]
        subprocess.run(command, cwd=given.beside, env={**os.environ, "PYTHONPATH": str(given.beside)}, check=False)
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
