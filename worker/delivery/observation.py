"""What this process observes: the events that it is at, and whether it goes on.

The ledger lists this process as an observer of each event that it loads, until the event leaves the inbox. If a process
dies, the events that list it have lost an observer. So a process that stops leaves those that it has not finished.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from worker.ledger import LedgerError

#: The most events that are remembered of failed calls; by then, other processes have observed the oldest.
LISTED_KEPT = 10_000


class ObserversLedger(Protocol):
    """The part of the ledger that lists the observers of events."""

    async def unload(self, refs: Sequence[str], *, announce: bool) -> None: ...


class Observation:
    """The events that this process observes."""

    def __init__(self, ledger: ObserversLedger) -> None:
        self._ledger = ledger
        #: Events that the ledger may list this process for, the oldest first.
        self._listed: dict[str, None] = {}
        #: Events that are being observed.
        self._under_way: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False

    @property
    def stopping(self) -> bool:
        """Whether this process has stopped observing; what is under way ends with its present chunk."""
        return self._stopping

    def stop(self) -> None:
        """Observe no more events."""
        self._stopping = True

    @contextmanager
    def under_way(self, refs: Iterable[str]) -> Iterator[Sequence[str]]:
        """Note that events are being observed while the block runs; yield those that were not already."""
        new = [ref for ref in dict.fromkeys(refs) if ref not in self._under_way]
        self._under_way.update(new)
        self._idle.clear()
        try:
            yield new
        finally:
            self._under_way.difference_update(new)
            if not self._under_way:
                self._idle.set()

    async def wait_until_idle(self, seconds: float) -> None:
        """Wait until nothing is being observed, at most so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    def begin(self, refs: Iterable[str]) -> None:
        """Note that the ledger is about to list this process for these events."""
        self._listed |= dict.fromkeys(refs)
        while len(self._listed) > LISTED_KEPT:
            del self._listed[next(iter(self._listed))]

    def finish(self, refs: Iterable[str]) -> None:
        """Note that these events are observed."""
        for ref in refs:
            self._listed.pop(ref, None)

    async def give_up(self, refs: Sequence[str], *, announce: bool) -> None:
        """Have the ledger list this process no longer; `announce` makes other processes observe the events now.

        If the ledger does not do it now, leave() tries again.
        """
        with suppress(LedgerError):
            await self._ledger.unload(refs, announce=announce)
            self.finish(refs)

    async def leave(self) -> None:
        """Leave all unfinished events to other processes. Call it when nothing is observed any more.

        Raises LedgerError.
        """
        listed = list(self._listed)
        await self._ledger.unload(listed, announce=True)
        self.finish(listed)
