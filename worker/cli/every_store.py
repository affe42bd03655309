"""The newest logs of all stores. The ledger files them by store, so each store is looked at that has an integration."""

from collections.abc import AsyncIterator
from heapq import heappush, heapreplace
from typing import NamedTuple

from worker.domain.event import Scope
from worker.domain.integration_log import IntegrationLog
from worker.ledger import Ledger

#: Logs of one store that are read at a time.
PAGE = 200


class Found(NamedTuple):
    """A log, and whose it is; ordered by its time."""

    created_at: int
    id: str
    scope: Scope
    log: IntegrationLog


async def newest_of_every_store(ledger: Ledger, limit: int, *, failed: bool) -> list[Found]:
    """The newest logs of all stores (or failures), the newest first.

    It walks through the whole ledger once, in calls that touch a bounded part of it each, and keeps no more logs than
    are wanted. Logs of stores whose integrations were all deleted are not among them.
    """
    newest: list[Found] = []
    async for scope in _scopes(ledger):
        await _take_newest(newest, limit, ledger, scope, failed=failed)
    return sorted(newest, reverse=True)


async def _scopes(ledger: Ledger) -> AsyncIterator[Scope]:
    """Everybody's who has an integration, each once."""
    seen = set[Scope]()
    cursor: int | None = None
    while cursor != 0:
        cursor, integrations = await ledger.integrations.scan(cursor or 0)
        for scope in dict.fromkeys(each.scope for each in integrations):
            if scope not in seen:
                seen.add(scope)
                yield scope


async def _take_newest(newest: list[Found], limit: int, ledger: Ledger, scope: Scope, *, failed: bool) -> None:
    """Puts a scope's logs into a heap of at most `limit`, down to the first that is older than all of it."""
    read = ledger.logs.failures if failed else ledger.logs.of_scope
    page, offset, seen = min(limit, PAGE), 0, set[str]()
    while logs := (await read(scope, offset, page)).items:
        for log in logs:
            found = Found(log.created_at, log.id, scope, log)
            if found.id in seen:
                # New logs have moved the page.
                continue
            seen.add(found.id)
            if len(newest) < limit:
                heappush(newest, found)
            elif found.created_at > newest[0].created_at:
                heapreplace(newest, found)
            else:
                return
        offset += len(logs)
