"""The newest logs of all stores, which are kept by store."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner

from worker.cli import edw, every_store
from worker.cli.every_store import newest_of_every_store
from worker.domain.event import Scope
from worker.domain.integration_log import IntegrationLog
from worker.ledger.pages import Page


class Ledger:
    """Logs by store, the newest first; `times` of one are in milliseconds. Counts the pages that were read."""

    def __init__(self, **times: Sequence[int]) -> None:
        self._logs = {Scope(None, store): [_log(store, each) for each in given] for store, given in times.items()}
        self.pages = 0
        self.integrations = self.logs = self

    async def scan(self, cursor: int) -> tuple[int, list[Any]]:
        # Each store has two integrations, which a scan may find one after the other, and one of them twice.
        scopes = [scope for scope in self._logs for _ in range(2)]
        found = [SimpleNamespace(scope=scope) for scope in scopes[cursor : cursor + 3]]
        return (cursor + 3 if cursor + 3 < len(scopes) else 0), found

    async def of_scope(self, scope: Scope, offset: int, limit: int) -> Page[IntegrationLog]:
        self.pages += 1
        logs = self._logs[scope]
        return Page(logs[offset : offset + limit], len(logs))

    async def failures(self, scope: Scope, offset: int, limit: int) -> Page[IntegrationLog]:
        page = await self.of_scope(scope, 0, 10_000)
        return Page([log for log in page.items if log.created_at % 2][offset : offset + limit], 0)


def _log(store: str, at: int) -> IntegrationLog:
    return IntegrationLog(str(UUID(int=at)), store, 1, False, "", None, "", 0.0, created_at=at)


async def times(ledger: Ledger, limit: int, *, failed: bool = False) -> list[tuple[int, str | None]]:
    found = await newest_of_every_store(ledger, limit, failed=failed)  # type: ignore[arg-type]  # what it asks of one
    return [(each.log.created_at, each.scope.store_id) for each in found]


async def test_they_come_in_the_order_of_their_time_from_any_store() -> None:
    ledger = Ledger(a=[90, 50, 10], b=[80, 70], c=[], d=[60])
    assert await times(ledger, 10) == [(90, "a"), (80, "b"), (70, "b"), (60, "d"), (50, "a"), (10, "a")]
    assert await times(ledger, 3) == [(90, "a"), (80, "b"), (70, "b")]


async def test_only_failures_are_asked_for_where_only_they_are_wanted() -> None:
    assert await times(Ledger(a=[91, 50], b=[80, 71]), 10, failed=True) == [(91, "a"), (71, "b")]


async def test_of_a_store_no_more_is_read_than_may_be_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(every_store, "PAGE", 2)
    ledger = Ledger(new=range(100, 90, -1), **{f"old-{n}": range(80, 0, -1) for n in range(20)})
    assert [at for at, _ in await times(ledger, 10)] == list(range(100, 90, -1))
    assert ledger.pages <= 6 + 20


@pytest.mark.parametrize("with_it", [["--follow"], ["--store", "s"], ["--job", "j"], ["--integration", "i"]])
def test_they_cannot_be_followed_and_are_nobodys_in_particular(with_it: list[str]) -> None:
    result = CliRunner().invoke(edw, ["logs", "--all-stores", *with_it])
    assert (result.exit_code, "--all-stores cannot be combined with" in result.output) == (2, True)
