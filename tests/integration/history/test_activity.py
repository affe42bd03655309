"""The attempts of each day are counted once, in the transaction that archives their logs, and reach back for charts."""

from datetime import timedelta

import pytest

from tests.counterparts.postgres import PostgresServer
from tests.integration.history.archive import DAY_MS, archive, forget, rows
from tests.ledger.scene import HOUR, LedgerScene
from worker.history.archive_rows import ArchiveRows, rows_of
from worker.history.archiver import Archiver
from worker.history.database import HistoryDatabase
from worker.history.days import day_of, number_of
from worker.history.seam import join
from worker.ledger import Ledger, Verdict
from worker.ledger.inspection.lane_activity import DayActivity

COUNTED = "SELECT day, attempts, failed FROM edw.activity WHERE integration = 'i-1' ORDER BY day"
VERSION = "SELECT version FROM edw.day_versions WHERE kind = 'logs' AND day = (SELECT max(day) FROM edw.activity)"
SHIFTED = "UPDATE edw.activity SET day = day - 40"


@pytest.fixture
async def both(played: LedgerScene, history: HistoryDatabase) -> Ledger:
    """What an API process reads with."""
    opened: Ledger = await played.another(history=True)
    join(opened, history)
    return opened


async def attempt(scene: LedgerScene, name: str, *verdicts: Verdict) -> None:
    """A job with some attempts."""
    (job,) = await scene.owe("i-1", name)
    for verdict in verdicts:
        (claim,) = await scene.claim("i-1")
        await scene.settle(claim, verdict, delay=HOUR)
        if verdict is Verdict.RETRY:
            await scene.ledger.redelivery.redeliver([job])


async def test_each_attempt_is_counted_once_however_often_it_is_written(
    played: LedgerScene, archiver: Archiver, history: HistoryDatabase
) -> None:
    await played.register("i-1", "i-2")
    await attempt(played, "e-1", Verdict.RETRY, Verdict.RETRY, Verdict.SUCCEEDED)
    await attempt(played, "e-2", Verdict.FAILED)
    batches = [await played.ledger.outbox.take(name) for name in ("ended", "attempted")]
    today = day_of(await played.ledger.redis.now())
    await archive(archiver)
    assert await rows(history, COUNTED) == [(today, 4, 3)]

    # Killed between the write and its note, an archiver writes the same again.
    writer, _ = await archiver._connected()
    await writer.write(rows_of(batches[0].plus(batches[1])))

    assert await rows(history, COUNTED) == [(today, 4, 3)]
    assert await rows(history, "SELECT count(*) FROM edw.activity") == [(1,)]


async def test_a_log_that_replaces_another_corrects_what_was_counted(
    played: LedgerScene, archiver: Archiver, history: HistoryDatabase
) -> None:
    await played.register("i-1")
    await attempt(played, "e-1", Verdict.FAILED)
    await attempt(played, "e-2", Verdict.FAILED)
    batch = await played.ledger.outbox.take("ended")
    await archive(archiver)
    writer, partitions = await archiver._connected()
    day, job, number, *others = rows_of(batch).tables["logs"][0]
    assert others[3] is False

    # What was taken for lost has succeeded, on the same day; then the day is another.
    succeeded = (day, job, number, *others[:3], True, *others[4:])
    await writer.write(ArchiveRows({"logs": [succeeded]}, [(job, number, day)]))
    assert await rows(history, COUNTED) == [(day, 2, 1)]
    ((version,),) = await rows(history, VERSION)
    before = day - timedelta(days=1)
    await partitions.make([before])
    await writer.write(ArchiveRows({"logs": [(before, *succeeded[1:])]}, [(job, number, before)]))

    assert await rows(history, COUNTED) == [(before, 1, 0), (day, 1, 1)]
    # The day that lost the log has changed, too.
    assert await rows(history, VERSION) == [(version + 1,)]
    assert len(await rows(history, "SELECT day FROM edw.day_versions WHERE kind = 'logs'")) == 2


async def test_charts_reach_back_as_far_as_the_history_and_have_what_is_not_archived_yet(
    played: LedgerScene, archiver: Archiver, both: Ledger, history: HistoryDatabase, postgres: PostgresServer
) -> None:
    await played.register("i-1")
    await attempt(played, "e-1", Verdict.FAILED)
    await archive(archiver)
    today = number_of(day_of(await played.ledger.redis.now()))
    async with history.connection() as connection:
        partitions = archiver._partitions
        assert partitions is not None
        await partitions.make([day_of((today - 40) * DAY_MS)])
        await connection.execute(SHIFTED)
        await connection.commit()
    await attempt(played, "e-2", Verdict.SUCCEEDED)
    await forget(played.ledger)

    found = await both.activity.by_day("i-1", 90)
    assert [each.day for each in found.days] == list(range(today - 89, today + 1))
    assert [each for each in found.days if each.attempts] == [
        DayActivity(today - 40, 1, 1),
        DayActivity(today, 2, 1),
    ], "the ledger has both of today"
    assert (await both.activity.by_day("i-1", 30)).days[-1] == DayActivity(today, 2, 1)
    assert len((await played.ledger.activity.by_day("i-1", 90)).days) == 2, "the ledger alone has two days"
    postgres.kill()
    try:
        away = await both.activity.by_day("i-1", 90)
        assert (away.history_away, [each.attempts for each in away.days]) == (True, [0, 2])
    finally:
        postgres.start()
