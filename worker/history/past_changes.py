"""The audit across the seam: the changes of both, the newest first.

The script that makes a change puts its record into the outbox. So a record is in both until the bounds of the ledger
drop it (EDW_AUDIT_CAP, EDW_AUDIT_RETENTION), and they drop it only once the history has it.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from worker.domain.change import Change
from worker.domain.event import Scope
from worker.history.database import Connection, HistoryDatabase, HistoryError
from worker.history.history_reader import until
from worker.history.merging import Bounded, MergedList
from worker.ledger import Ledger
from worker.ledger.change_records import LOOKED_AT, ChangeRecords, decoded_change
from worker.ledger.pages import Page

_OF_SCOPE = (
    "SELECT scope, record FROM edw.changes WHERE scope = %s AND day <= %s AND at <= %s"
    " ORDER BY day DESC, at DESC, id DESC LIMIT %s"
)
_OF_SUBJECT = (
    "SELECT scope, record FROM edw.changes WHERE scope = %s AND subject = %s"
    " ORDER BY day DESC, at DESC, id DESC LIMIT %s"
)
_COUNT = (
    "SELECT count(*) FROM (SELECT 1 FROM edw.changes c WHERE scope = %s"
    " AND NOT EXISTS (SELECT 1 FROM unnest(%s::uuid[]) AS k (id) WHERE k.id = c.id) LIMIT %s) AS found"
)


class ChangesAcrossSeam(Bounded, ChangeRecords):
    """Changes of both."""

    def __init__(self, ledger: Ledger, database: HistoryDatabase) -> None:
        super().__init__(ledger.redis)
        self._database = database

    async def of_scope(self, scope: Scope, offset: int, limit: int) -> Page[Change]:
        """Return a page of the changes of a store, or of an organisation's own."""
        read = super().of_scope
        merged: MergedList[Change, str] = MergedList(
            ledger=lambda offset, limit: read(scope, offset, limit),
            ids=lambda most: self.ids_of(scope, most),
            history=lambda most: self._changes(_OF_SCOPE, scope.key, *until(self.till), most),
            count=lambda without, most: self._count(scope, without, most),
            identity=lambda change: change.id,
            place=_place,
            till=self.till,
        )
        return await merged.page(offset, limit)

    async def of_subject(self, scope: Scope, subject: str) -> Page[Change]:
        """Return the newest changes of one subject; `at_least` says that there are older ones."""
        kept = await super().of_subject(scope, subject)
        try:
            archived = await self._changes(_OF_SUBJECT, scope.key, subject, LOOKED_AT + 1)
        except HistoryError:
            return Page(kept.items, kept.total, at_least=True, history_away=True)
        merged = {each.id: each for each in [*archived, *kept.items]}
        found = sorted(merged.values(), key=_place, reverse=True)[:LOOKED_AT]
        return Page(found, len(found), at_least=len(merged) > LOOKED_AT)

    async def _changes(self, query: str, *values: object) -> list[Change]:
        return [decoded_change(scope, record) for scope, record in await self._rows(query, *values)]

    async def _count(self, scope: Scope, without: Sequence[str], most: int) -> int:
        ((count,),) = await self._rows(_COUNT, scope.key, [UUID(each) for each in without], most)
        return int(count)

    async def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        async def read(connection: Connection) -> list[tuple[Any, ...]]:
            return list(await (await connection.execute(query.encode(), values)).fetchall())

        return await self._database.read(read)


def _place(change: Change) -> tuple[int, str]:
    return change.made_at, change.id
