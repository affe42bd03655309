"""The opener of jobs: one for all observers of a process, so that no store's fan-out keeps another store waiting."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field

from worker.delivery.fan_outs import FanOut, FanOutPart, FanOutTurns
from worker.ledger import LedgerError

#: Calls under way at a time. A second one keeps the ledger busy while this process handles the first one's answer.
CALLS_AT_ONCE = 2

#: Once jobs of one store wait that cost more than this, its further events stay in the inbox. A job costs one, and so
#: do COST_BYTES of an event.
STORE_WAITING = 2_000
COST_BYTES = 16 * 1024

#: Opens the jobs of a chunk; returns the fan-outs that could not be opened, or are outdated.
OpenChunk = Callable[[Sequence[FanOutPart]], Awaitable[Set[FanOut]]]


@dataclass(slots=True)
class OpenedFanOuts:
    """What came of fan-outs: those that are not named were opened."""

    failed: set[FanOut] = field(default_factory=set)
    #: Those that were not opened, or in part only, because they are outdated, this process stops, or their store has
    #: enough waiting. Their events are in the inbox.
    put_off: set[FanOut] = field(default_factory=set)


class FairOpener:
    """Opens the fan-outs of all observers in chunks that their stores fill in turn.

    A fan-out has one call under way at most, and each call goes on where the one before stopped.

    Args:
        open_chunk: Opens the jobs of a chunk.
        stopped: Returns whether this process stops; then no further chunk is opened.
    """

    def __init__(self, open_chunk: OpenChunk, stopped: Callable[[], bool]) -> None:
        self._open_chunk = open_chunk
        self._stopped = stopped
        self._turns = FanOutTurns()
        #: What came of each fan-out: whether it was opened, or None if it was put off.
        self._waits: dict[FanOut, asyncio.Future[bool | None]] = {}
        self._calls: set[asyncio.Task[None]] = set()
        #: What waits, by store.
        self._costs: Counter[str] = Counter()

    async def open(self, fan_outs: Sequence[FanOut]) -> OpenedFanOuts:
        """Open the jobs of events. If the caller is cancelled, what is not open yet stays in the inbox.

        Raises LedgerError.
        """
        found = OpenedFanOuts()
        waits: dict[FanOut, asyncio.Future[bool | None]] = {}
        for fan_out in fan_outs:
            if self._costs[fan_out.store] > STORE_WAITING:
                found.put_off.add(fan_out)
            else:
                waits[fan_out] = self._waits[fan_out] = asyncio.get_running_loop().create_future()
                self._costs[fan_out.store] += _cost(fan_out)
                self._turns.add(fan_out)
        self._start_calls()
        try:
            for wait in waits.values():
                # Those of one call end together, so this costs less than gather().
                with suppress(Exception):
                    await wait
        finally:
            for fan_out in waits:
                del self._waits[fan_out]
                self._costs[fan_out.store] -= _cost(fan_out)
                if not self._costs[fan_out.store]:
                    del self._costs[fan_out.store]
        for fan_out, wait in waits.items():
            match wait.result():
                case False:
                    found.failed.add(fan_out)
                case None:
                    found.put_off.add(fan_out)
        return found

    def _start_calls(self) -> None:
        while self._turns and len(self._calls) < CALLS_AT_ONCE:
            if self._stopped():
                self._drop(self._turns, _ending(None))
                self._turns.clear()
                return
            # Nobody waits for the fan-outs of a cancelled observer.
            chunk = [part for part in self._turns.take() if part.fan_out in self._waits]
            if chunk:
                call = asyncio.create_task(self._call(chunk))
                self._calls.add(call)
                call.add_done_callback(self._call_ended)

    def _call_ended(self, call: "asyncio.Task[None]") -> None:
        self._calls.discard(call)
        self._start_calls()

    async def _call(self, chunk: Sequence[FanOutPart]) -> None:
        try:
            not_opened = await self._open_chunk(chunk)
        except LedgerError as error:
            # What waits would meet the same error. All these events are in the inbox, and a sweep announces them.
            self._drop((part.fan_out for part in chunk), _raising(error))
            self._drop(self._turns, _raising(error))
            self._turns.clear()
        except asyncio.CancelledError:
            self._drop((part.fan_out for part in chunk), _ending(None))
            raise
        except Exception as error:  # noqa: BLE001  (each observer raises it)
            self._drop((part.fan_out for part in chunk), _raising(error))
        else:
            for part in chunk:
                if part.fan_out in not_opened:
                    # An outdated one is loaded and opened again.
                    self._drop([part.fan_out], _ending(None if part.fan_out.outdated else False))
                elif part.last:
                    self._drop([part.fan_out], _ending(True))
                else:
                    self._turns.add(part.fan_out)

    def _drop(self, fan_outs: Iterable[FanOut], end: Callable[["asyncio.Future[bool | None]"], None]) -> None:
        for fan_out in fan_outs:
            if (wait := self._waits.get(fan_out)) and not wait.done():
                end(wait)


def _ending(result: bool | None) -> Callable[["asyncio.Future[bool | None]"], None]:
    return lambda wait: wait.set_result(result)


def _raising(error: Exception) -> Callable[["asyncio.Future[bool | None]"], None]:
    return lambda wait: wait.set_exception(error)


def _cost(fan_out: FanOut) -> int:
    return max(1, len(fan_out.integration_ids)) + len(fan_out.stored.event.raw) // COST_BYTES
