"""PostgreSQL is away, frozen, full, read-only, locked or slow, or its clock is wrong: nothing is lost, work resumes."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import time

import psycopg
import pytest
from pydantic import SecretStr

from config.settings import Settings
from tests.api_client import served
from tests.counterparts.fake_clock import SteppedRedisServer
from tests.counterparts.postgres import PostgresServer
from tests.counterparts.proxy import TcpProxy
from tests.counterparts.server import require
from tests.integration.history.archive import DAY_MS, KEPT, archive, forget, ledger_with_history, rows
from tests.ledger.scene import LedgerScene, settlement
from tests.samples import SCOPE, an_event
from tests.waiting import eventually
from worker.domain.claim import Claim
from worker.history import archiver as archiving
from worker.history.archive_lease import ArchiveLease
from worker.history.archive_rows import rows_of
from worker.history.archiver import Archiver, HistoryPolicy
from worker.history.database import HistoryDatabase, HistoryUnavailable
from worker.history.days import day_of, partition, wanted
from worker.history.partitions import Partitions
from worker.history.seam import join
from worker.ledger import Ledger, Verdict
from worker.ledger.archive_outbox import OutboxBatch

JOBS = "SELECT id::text, state, attempts, epoch FROM edw.jobs ORDER BY opened_at, id"
#: Whether PostgreSQL answers readers in each trouble.
TROUBLES = {"killed": False, "frozen": False, "locked": False, "read-only": True, "full": True}
#: An integration with an id as the API makes them.
LANE = "7d3b5d0e-0c1f-4e4b-9f0a-2f6f1f6f9a11"
#: What a slow server takes for one answer (seconds).
SLOW_SECONDS = 2.0


@contextmanager
def in_trouble(postgres: PostgresServer, database: str, trouble: str) -> Iterator[None]:
    """PostgreSQL is in trouble for the length of the block."""
    match trouble:
        case "killed":
            postgres.kill()
            yield
            postgres.start()
        case "frozen":
            postgres.freeze()
            yield
            postgres.thaw()
        case "locked":
            with psycopg.connect(postgres.url(database)) as connection:
                connection.execute("LOCK edw.jobs, edw.events, edw.logs")
                yield
        case "read-only":
            postgres.run(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
            postgres.end_sessions(database)
            yield
            postgres.run(f"ALTER DATABASE {database} RESET default_transaction_read_only")
        case "full":
            # Tomorrow's, too: it may be midnight.
            with ExitStack() as stack:
                for day in wanted(round(time() * 1000))[:2]:
                    stack.enter_context(postgres.full(database, f"edw.{partition('jobs', day)}"))
                yield


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_nothing_is_forgotten_reads_say_so_and_work_resumes_by_itself(
    played: LedgerScene, empty_history: HistoryDatabase, postgres: PostgresServer, trouble: str,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    archiver = Archiver(played.ledger, empty_history, KEPT)
    await played.register("i-1")
    await archive(archiver)
    reading = HistoryDatabase(postgres.url(empty_history.address.rpartition("/")[2]))
    both: Ledger = await played.another(history=True)
    join(both, reading)
    with in_trouble(postgres, empty_history.address.rpartition("/")[2], trouble):
        (job,) = await played.owe("i-1", "e-1")
        (claim,) = await played.claim("i-1")
        await played.settle(claim, Verdict.SUCCEEDED)
        with monkeypatch.context() as patched:
            patched.setattr(archiving, "WRITE_SECONDS", 1.0)
            patched.setattr("worker.history.database.READ_SECONDS", 0.5)
            archiver.open()
            await eventually(lambda: archiver.is_away, "the archiver has noticed")
            assert await forget(played.ledger) == 0
            assert (await played.ledger.outbox.lag()).waiting == 1
            page = await both.jobs.of_integration("i-1", 0, 10)
            assert [each.id for each in page.items] == [job]
            assert page.history_away is not TROUBLES[trouble]

    async def archived() -> bool:
        return (await played.ledger.outbox.lag()).waiting == 0

    await eventually(archived, "the archiver has gone on")
    await eventually(lambda: not archiver.is_away, "the archiver knows that PostgreSQL is back")
    assert len(await rows(empty_history, JOBS)) == 1
    assert "archiving failed" not in caplog.text, "it is a trouble that is expected"
    await archiver.close()
    await reading.close()


async def test_a_frozen_server_keeps_no_answer_of_the_api_waiting(
    played: LedgerScene,
    archiver: Archiver,
    postgres: PostgresServer,
    empty_history: HistoryDatabase,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await played.register(LANE)
    jobs = await played.owe(LANE, "old")
    await played.settle((await played.claim(LANE))[0], Verdict.SUCCEEDED)
    await archive(archiver)
    await forget(played.ledger)
    jobs += await played.owe(LANE, "new")
    await played.settle((await played.claim(LANE))[0], Verdict.SUCCEEDED)
    url = SecretStr(postgres.url(empty_history.address.rpartition("/")[2]))
    async with served(settings.model_copy(update={"history_url": url})) as api:
        admin = await api.someone()
        whole = await admin.get(f"/v2/integrations/{LANE}/jobs")
        assert [each["id"] for each in whole.data] == jobs[::-1]
        assert "history" not in whole.document["meta"]
        monkeypatch.setattr("worker.history.database.READ_SECONDS", 0.5)
        postgres.freeze()
        try:
            for path in ("integrations/logs", f"integrations/{LANE}/logs", f"integrations/{LANE}/jobs", "events"):
                page = await admin.get(f"/v2/{path}")
                assert (page.status, page.document["meta"].get("history")) == (200, "unavailable"), path
                assert len(page.data) == 1, path
            for path in (f"integrations/{LANE}/jobs/{jobs[0]}/logs", "events/00000000-0000-0000-0000-000000000000"):
                assert (await admin.get(f"/v2/{path}")).status == 503, path
        finally:
            postgres.thaw()


async def test_a_worker_that_does_not_reach_postgresql_leaves_the_archive_to_another(
    played: LedgerScene, empty_history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "PAUSES", (0.05,))
    monkeypatch.setattr(archiving, "LEASE_SECONDS", 0.01)
    cut_off = Archiver(played.ledger, HistoryDatabase("postgresql://edw@127.0.0.1:1/edw"), KEPT)
    await played.register("i-1")
    await played.owe("i-1", "e-1")
    await played.settle((await played.claim("i-1"))[0], Verdict.SUCCEEDED)
    cut_off.open()
    await eventually(lambda: cut_off.is_away, "the first has the lease, and does not reach PostgreSQL")

    other = Archiver((await ledger_with_history(played)).ledger, empty_history, KEPT)
    other.open()

    async def archived() -> bool:
        return (await played.ledger.outbox.lag()).waiting == 0

    await eventually(archived, "the other one has archived")
    await cut_off.close()
    await other.close()


async def test_a_lease_is_kept_while_a_batch_takes_longer(played: LedgerScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.history.archive_lease.LEASE_SECONDS", 0.01)
    lease, other = ArchiveLease(played.ledger.outbox), ArchiveLease((await ledger_with_history(played)).ledger.outbox)
    assert await lease.take()
    async with lease.kept():
        await played.key("DEL", "archiver")
        await eventually(lambda: played.key("EXISTS", "archiver"), "the lease is renewed")
        assert not await other.take()
    await lease.leave()
    assert await other.take()


class CountingProxy(TcpProxy):
    """Counts how often its clients wait for an answer of the server."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.answers = 0

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, out = await asyncio.open_connection("127.0.0.1", self.to)
        asked = [False]

        async def questions() -> None:
            while content := await reader.read(65536):
                asked[0] = True
                out.write(content)

        async def answers() -> None:
            while content := await there.read(65536):
                self.answers += asked[0]
                asked[0] = False
                writer.write(content)

        try:
            await asyncio.gather(questions(), answers())
        finally:
            out.close()


@pytest.fixture
async def line(postgres: PostgresServer) -> AsyncIterator[CountingProxy]:
    """The way to PostgreSQL."""
    async with CountingProxy(postgres.port) as proxy:
        yield proxy


async def test_a_server_that_takes_two_seconds_for_each_answer_is_not_given_up(
    played: LedgerScene, history: HistoryDatabase, postgres: PostgresServer, line: CountingProxy
) -> None:
    """The waits for answers are counted: none of the steps may have more than its time allows."""
    archiver = Archiver(
        played.ledger, HistoryDatabase(postgres.url_at(line.port, history.address.rpartition("/")[2])), KEPT
    )
    await archive(archiver)  # The days are made.
    await archiver.close()
    await played.register("i-1")
    await played.owe("i-1", *(f"e-{n}" for n in range(60)))
    claims: list[Claim] = []
    while more := await played.claim("i-1"):
        await played.ledger.jobs.settle([settlement(each, Verdict.FAILED) for each in more])
        claims += more
    # Their logs are replaced, as those of processes that were taken for dead.
    await played.key("RPUSH", "attempted", *(f"~{each.job_id}:1" for each in claims))

    line.answers = 0
    writer, partitions = await archiver._connected()
    assert line.answers * SLOW_SECONDS < archiving.WRITE_SECONDS
    batches: Sequence[OutboxBatch] = [await played.ledger.outbox.take(name) for name in ("ended", "attempted")]
    assert len(rows_of(batches[0].plus(batches[1])).replaced) == len(claims)
    line.answers = 0
    await archiver._write(batches, writer, partitions)
    assert 0 < line.answers * SLOW_SECONDS < archiving.WRITE_SECONDS
    # One event of all the jobs, as far as its erasure can see.
    line.answers = 0
    await writer.erase(an_event("e-0").ref, [each.job_id for each in claims])
    assert 0 < line.answers * SLOW_SECONDS < archiving.WRITE_SECONDS
    assert await rows(history, "SELECT count(*) FROM edw.logs WHERE exchange IS NULL") == [(len(claims),)]
    await archiver.close()


@pytest.fixture(scope="module")
def mistimed() -> Iterator[PostgresServer]:
    """A server whose clock is 400 days behind."""
    require(SteppedRedisServer)
    with PostgresServer(clock_off="-400d") as server:
        yield server


async def test_the_clock_of_the_server_decides_nothing(played: LedgerScene, mistimed: PostgresServer) -> None:
    name = mistimed.new_database()
    mistimed.run(f"ALTER DATABASE {name} SET timezone = 'Pacific/Kiritimati'")
    mistimed.run(f"ALTER DATABASE {name} SET datestyle = 'SQL, DMY'")
    database = HistoryDatabase(mistimed.url(name))
    now = await played.ledger.redis.now()
    ((servers,),) = mistimed.run("SELECT extract(epoch FROM now())::bigint * 1000")
    assert abs(int(str(servers)) - now) > 300 * DAY_MS
    archiver = Archiver(played.ledger, database, HistoryPolicy(2 * DAY_MS, DAY_MS))
    await played.register("i-1")
    (job,) = await played.owe("i-1", "e-1")
    await played.settle((await played.claim("i-1"))[0], Verdict.SUCCEEDED)

    await archive(archiver)
    await forget(played.ledger)

    both: Ledger = await played.another(history=True)
    join(both, database)
    today = day_of(now)
    for table in ("events", "jobs", "logs", "payloads"):
        assert await rows(database, f"SELECT day FROM edw.{table}") == [(today,)]
    assert [each.id for each in (await both.jobs.of_integration("i-1", 0, 10)).items] == [job]
    assert [each.accepted_at // DAY_MS for each in (await both.events.page(SCOPE, 0, 10)).items] == [now // DAY_MS]
    async with database.connection() as connection:
        await connection.set_autocommit(True)
        partitions = Partitions(connection)
        assert await partitions.drop_expired(now, 2 * DAY_MS, DAY_MS) == []
        assert len(await partitions.drop_expired(now + 4 * DAY_MS, 2 * DAY_MS, DAY_MS)) > 0
    await archiver.close()


async def test_every_trouble_of_the_servers_files_is_one_that_passes(history: HistoryDatabase) -> None:
    for state in ("53100", "53200", "XX000", "XX001", "58030", "57P03", "25006"):
        with pytest.raises(HistoryUnavailable):
            async with history.connection() as connection:
                await connection.execute(f"DO $$ BEGIN RAISE SQLSTATE '{state}'; END $$".encode())
