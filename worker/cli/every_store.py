"""The newest logs of all stores. The ledger files logs by store, so this reads each store that has an integration."""

from collections.abc import AsyncIterator
from heapq import heappush, heapreplace
from typing import NamedTuple

from worker.domain.event import Scope
from worker.domain.integration_log import IntegrationLog
from worker.ledger import Ledger

#: Logs of one store per read.
PAGE = 200


class Found(NamedTuple):
    """A log and its scope, ordered by the log's time."""

    created_at: int
    id: str
    scope: Scope
    log: IntegrationLog


async def newest_of_every_store(ledger: Ledger, limit: int, *, failed: bool) -> list[Found]:
    """Return the newest logs (or failures) of all stores, newest first.

    This walks through the whole ledger once, in calls that each touch a bounded part of it, and keeps at most `limit`
    logs. Logs of stores whose integrations were all deleted are not included.
    """
    newest: list[Found] = []
    async for scope in _scopes(ledger):
        await _take_newest(newest, limit, ledger, scope, failed=failed)
    return sorted(newest, reverse=True)


async def _scopes(ledger: Ledger) -> AsyncIterator[Scope]:
    """Yield each scope that has an integration, once."""
    seen = set[Scope]()
    cursor: int | None = None
    while cursor != 0:
        cursor, integrations = await ledger.integrations.scan(cursor or 0)
        for scope in dict.fromkeys(each.scope for each in integrations):
            if scope not in seen:
                seen.add(scope)
                yield scope


async def _take_newest(newest: list[Found], limit: int, ledger: Ledger, scope: Scope, *, failed: bool) -> None:
    """Put a scope's logs into a heap of at most `limit`, up to the first that is older than the whole heap."""
    read = ledger.logs.failures if failed else ledger.logs.of_scope
    page, offset, seen = min(limit, PAGE), 0, set[str]()
    while logs := (await read(scope, offset, page)).items:
        for log in logs:
            found = Found(log.created_at, log.id, scope, log)
            if found.id in seen:
                # New logs have shifted the page.
                continue
            seen.add(found.id)
            if len(newest) < limit:
                heappush(newest, found)
            elif found.created_at > newest[0].created_at:
                heapreplace(newest, found)
            else:
                return
        offset += len(logs)
