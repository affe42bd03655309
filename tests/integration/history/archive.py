"""An archiver under test, beside a ledger, and what the history then has."""

from dataclasses import replace
from typing import Any

from tests.ledger.scene import LedgerScene
from worker.history.archiver import Archiver, HistoryPolicy
from worker.history.database import HistoryDatabase
from worker.ledger import Ledger

DAY_MS = 86_400_000
KEPT = HistoryPolicy(90 * DAY_MS, 30 * DAY_MS)


async def ledger_with_history(scene: LedgerScene, window: int = 0, **policy: Any) -> LedgerScene:
    """Return the scene of a process that has a history."""
    opened: Ledger = await scene.another(history=True, window=window, log_cap=1_000_000_000, **policy)
    return replace(scene, ledger=opened)


async def archive(archiver: Archiver) -> None:
    """Archive until nothing waits."""
    while await archiver.step() == 0.0:
        pass


async def forget(ledger: Ledger) -> int:
    """Forget all that may be forgotten; return how many entries were worked off."""
    # An entry that has to wait goes to the end of its list; without a window, its turn comes at once.
    return sum([await ledger.fleet.forget() for _ in range(5)])


async def rows(database: HistoryDatabase, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""

    async def read(connection: Any) -> list[tuple[Any, ...]]:
        return list(await (await connection.execute(query)).fetchall())

    return await database.read(read)
