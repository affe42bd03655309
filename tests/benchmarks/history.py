"""Measures the history: how quickly it is read, archived into and freed, and what it leaves in the ledger.

python -m tests.benchmarks.history                   10 million logs of 100 stores in 90 days: a quarter of an hour
python -m tests.benchmarks.history --logs 1000000    a tenth of that
"""

import argparse
import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product
from time import perf_counter
from uuid import uuid4

from deliverers.exchange import PhaseTimes, WireRecord
from tests.counterparts.postgres import PostgresServer
from tests.counterparts.redis_server import RedisServer
from tests.ledger import inspection
from tests.ledger.scene import LedgerScene, playing_on, settlement
from tests.samples import an_event, an_integration
from worker.domain.affected_resource import AffectedResource
from worker.domain.event import Ingress, Scope
from worker.domain.integration_log import IntegrationLog
from worker.history import migrations
from worker.history.archiver import Archiver, HistoryPolicy
from worker.history.database import HistoryDatabase
from worker.history.days import partition
from worker.history.partitions import Partitions
from worker.history.seam import join
from worker.ledger import Ledger, LedgerPolicy, Verdict
from worker.ledger.events.wire_event import split, written
from worker.ledger.lanes.log_records import encoded_log

STORES, DAYS, LANES, RESOURCES = 100, 90, 3, 100
DAY_MS = 86_400_000
#: Reads of each kind.
READS = 100
#: Events that are archived, of about 1.3 KB as those of a shop.
ARCHIVED = 20_000
POLICY = LedgerPolicy(history=True, window=0, lane_cap=1_000, log_cap=1_000_000_000, lease=60_000)

_LOGS = """
    INSERT INTO edw.logs SELECT %(day)s, gen_random_uuid(), 1, %(start)s + n * %(step)s,
        scope, integration, succeeded, substring(int8send(%(start)s + n * %(step)s) from 3) || record, NULL
    FROM generate_series(0, %(count)s - 1) AS n JOIN records
        ON store = n %% {stores} AND lane = n %% {lanes} AND succeeded = (n / {stores} %% 10 <> 0)
"""
_EVENTS = """
    INSERT INTO edw.events SELECT %(day)s, gen_random_uuid(), scope, %(start)s * 1000 + random() * 86400000000,
        'order.paid', resource, false, %(head)s FROM resources
"""


_SIZE = (
    "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relnamespace = 'edw'::regnamespace AND relkind = 'r'"
)


async def main() -> None:
    """Run all measurements, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=10_000_000)
    logs = parser.parse_args().logs
    with PostgresServer(shared_buffers="512MB", max_wal_size="8GB") as postgres, RedisServer(appendfsync="no") as redis:
        database = HistoryDatabase(postgres.url(postgres.new_database()))
        await migrations.migrate(database)
        ledger = Ledger(redis.url, POLICY)
        await ledger.open()
        try:
            async with playing_on(ledger, redis.url) as scene:
                await _measure_archiving(scene, database, redis)
                days = await _fill(database, logs)
                await _measure_reads(redis.url, database, days)
                await _measure_drop(database, days[0])
        finally:
            await database.close()
            await ledger.close()


async def _measure_archiving(scene: LedgerScene, database: HistoryDatabase, redis: RedisServer) -> None:
    ledger = scene.ledger
    archiver = Archiver(ledger, database, HistoryPolicy(DAYS * DAY_MS, DAYS * DAY_MS))
    await archiver.step()
    await scene.register("lane-0-0")
    # Scripts take memory, too.
    await _deliver(scene, ARCHIVED, 100)
    await archiver.step()
    await ledger.fleet.forget()
    empty = redis.used_memory()
    for first in range(0, ARCHIVED, 100):
        await _deliver(scene, first, 100)
    full = redis.used_memory()
    began = perf_counter()
    while await archiver.step() == 0.0:
        pass
    seconds = perf_counter() - began
    while await ledger.fleet.forget():
        pass
    # Not the used memory: Redis shrinks its own tables later.
    known = (await inspection.key_kinds(ledger))["known:…"]
    kept, identity = (full - empty) / ARCHIVED, known / ARCHIVED
    print(f"archived: {ARCHIVED / seconds:,.0f} events/s, each with a job and a log")
    print(f"ledger: {kept:,.0f} bytes for an event in the window, {identity:.0f} bytes for one that was forgotten")
    short, long = 90_000 * kept + 8_640_000 * identity, 8_640_000 * kept
    print(f"ledger at 100 events/s: {short / 2**30:.2f} GiB with the default windows, {long / 2**30:.1f} GiB for a day")
    async with database.connection() as connection:
        row = await (await connection.execute(_SIZE)).fetchone()
        assert row is not None
    size = int(row[0]) / ARCHIVED
    print(f"history: {size:,.0f} bytes for an event, {size * 8_640_000 / 2**30:.1f} GiB for a day at 100 events/s")
    await archiver.close()


async def _deliver(scene: LedgerScene, first: int, count: int) -> None:
    data = {n: b'{"type":"order","id":"%d","text":"%s"}' % (n % 5_000, _text(n)) for n in range(first, first + count)}
    events = [an_event(f"e-{n}", data=each) for n, each in data.items()]
    await scene.ledger.inbox.accept(events)
    stored = list((await scene.ledger.inbox.load([each.ref for each in events])).events)
    await scene.open(stored, "lane-0-0")
    while claims := await scene.claim("lane-0-0"):
        made = [settlement(each, Verdict.SUCCEEDED) for each in claims]
        await scene.ledger.jobs.settle(
            [replace(each, log=replace(each.log, body='{"ok":true}', event_id=f"e-{first}")) for each in made]
        )


def _text(number: int) -> bytes:
    """Return about 1.1 KB that compress as the JSON of a shop's order does, to a third."""
    words = random.Random(number)
    return b" ".join(words.choice(_WORDS) for _ in range(170))


_WORDS = [b"%x" % random.Random(number).getrandbits(20) for number in range(60)]


async def _fill(database: HistoryDatabase, logs: int) -> list[date]:
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=before) for before in range(DAYS, 0, -1)]
    began = perf_counter()
    head, _ = split(bytes(8) + written(an_event("e-1"), Ingress.HTTP))
    async with database.connection("edw-benchmark") as connection:
        await connection.set_autocommit(True)
        await connection.execute("SET statement_timeout = 0")
        await Partitions(connection).make(days)
        await connection.execute("CREATE TEMPORARY TABLE resources (scope text, resource text)")
        async with connection.cursor() as cursor, cursor.copy("COPY resources FROM STDIN") as copy:
            for store in range(STORES):
                for number in range(RESOURCES):
                    scope = Scope("org-1", f"store-{store}").key
                    await copy.write_row((scope, AffectedResource("order", str(number)).key(scope)))
        await connection.execute(
            "CREATE TEMPORARY TABLE records"
            " (store int, lane int, succeeded bool, scope text, integration text, record bytea)"
        )
        async with connection.cursor() as cursor, cursor.copy("COPY records FROM STDIN") as copy:
            for row in _records():
                await copy.write_row(row)
        for day in days:
            start = round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
            count = logs // DAYS
            values = {"day": day, "start": start, "count": count, "step": DAY_MS // count, "head": head}
            await connection.execute(_LOGS.format(stores=STORES, lanes=LANES).encode(), values)
            await connection.execute(_EVENTS.encode(), values)
        await connection.execute("ANALYZE edw.logs, edw.events")
        await connection.execute("CHECKPOINT")
    print(f"filled with {logs:,} logs of {STORES} stores in {DAYS} days, in {perf_counter() - began:.0f} s")
    return days


def _records() -> Iterator[tuple[object, ...]]:
    """Yield a log of each lane that succeeded and one that failed, without its time."""
    for store, lane, succeeded in product(range(STORES), range(LANES), (True, False)):
        integration, scope = f"lane-{store}-{lane}", Scope("org-1", f"store-{store}").key
        log = IntegrationLog(
            *("", integration, 1, succeeded, '{"ok":true}', 200, "", 0.05),
            event_id=str(uuid4()),
            event_type="order.paid",
            exchange=WireRecord(PhaseTimes(first_byte=0.04)),
        )
        yield store, lane, succeeded, scope, integration, encoded_log(log)


async def _measure_reads(redis_url: str, database: HistoryDatabase, days: list[date]) -> None:
    ledger = Ledger(redis_url, POLICY)
    await ledger.open()
    for store in range(STORES):
        for lane in range(LANES):
            await ledger.integrations.put(
                an_integration(f"lane-{store}-{lane}", scope=Scope("org-1", f"store-{store}"))
            )
    join(ledger, database)
    chosen = random.Random(7)

    def some_store() -> Scope:
        return Scope("org-1", f"store-{chosen.randrange(STORES)}")

    async def failures() -> int:
        return len((await ledger.logs.failures(some_store(), 0, 25)).items)

    async def of_integration() -> int:
        lane = f"lane-{chosen.randrange(STORES)}-{chosen.randrange(LANES)}"
        return len((await ledger.logs.of_integration(lane, 0, 25)).items)

    async def by_resource() -> int:
        resource = AffectedResource("order", str(chosen.randrange(RESOURCES)))
        return len((await ledger.events.page(some_store(), 0, 25, resource)).items)

    kinds = {
        "a store's failures": failures,
        "an integration's logs": of_integration,
        "a resource's events": by_resource,
    }
    for name, read in kinds.items():
        print(f"{name}: {await _percentiles(read)}")
    await ledger.close()


async def _percentiles(read: Callable[[], Awaitable[int]]) -> str:
    await read()
    took = []
    for _ in range(READS):
        began = perf_counter()
        assert await read() > 0
        took.append(perf_counter() - began)
    took.sort()
    return f"p50 {took[READS // 2] * 1000:.0f} ms, p95 {took[READS * 95 // 100] * 1000:.0f} ms"


async def _measure_drop(database: HistoryDatabase, day: date) -> None:
    async with database.connection("edw-benchmark") as connection:
        await connection.set_autocommit(True)
        began = perf_counter()
        await Partitions(connection).drop(partition("logs", day))
        print(f"dropping a day of logs: {perf_counter() - began:.2f} s")


if __name__ == "__main__":
    asyncio.run(main())
