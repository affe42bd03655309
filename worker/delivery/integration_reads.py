"""Reads of single integrations, many in one call of the ledger."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from worker.domain.integration import Integration
from worker.ledger.policy import MAX_IDS_PER_MESSAGE


class IntegrationReads:
    """Collects the reads of one turn of the event loop, and makes one call for them.

    Args:
        get: Returns those of the integrations that exist.
    """

    def __init__(self, get: Callable[[Sequence[str]], Awaitable[Sequence[Integration]]]) -> None:
        self._get = get
        #: The reads of the next call; its answer is at least as new as each of them.
        self._next: dict[str, asyncio.Future[Integration | None]] = {}
        self._calls: set[asyncio.Task[None]] = set()

    async def read(self, integration_id: str) -> Integration | None:
        """Return the integration as it is now, or None if there is none. Raises LedgerError."""
        loop = asyncio.get_running_loop()
        if not self._next:
            loop.call_soon(self._start)
        found = self._next.get(integration_id)
        if found is None:
            found = self._next[integration_id] = loop.create_future()
            # If every reader was cancelled, nobody looks at an exception; this marks it as seen.
            found.add_done_callback(lambda future: future.cancelled() or future.exception())
        # A reader that is cancelled must not cancel it for the others.
        return await asyncio.shield(found)

    def _start(self) -> None:
        reads, self._next = self._next, {}
        ids = list(reads)
        for first in range(0, len(ids), MAX_IDS_PER_MESSAGE):
            part = {each: reads[each] for each in ids[first : first + MAX_IDS_PER_MESSAGE]}
            call = asyncio.create_task(self._call(part))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, reads: dict[str, "asyncio.Future[Integration | None]"]) -> None:
        try:
            found = {each.id: each for each in await self._get(list(reads))}
        except Exception as error:  # noqa: BLE001  (each reader raises it)
            for future in reads.values():
                future.set_exception(error)
        except asyncio.CancelledError:
            for future in reads.values():
                future.cancel()
            raise
        else:
            for each, future in reads.items():
                future.set_result(found.get(each))
