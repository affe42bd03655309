"""The hot observer: while events keep coming, this process waits for them in the ledger, without the broker.

A wake-up starts it. It then registers in the ledger, so that accepting an event needs no wake-up, and leaves after a
quiet time, or when the process has no free slots: the next event sends a wake-up, which any worker may take. While one
process is registered, the others wait along, so that events spread over the fleet.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Protocol

import structlog

from worker.event_loop.cancellation import end
from worker.ledger import LedgerError
from worker.ledger.events.hot_events import NewEvents

_log = structlog.get_logger("edw.dispatch")

#: How often a registration is renewed (seconds).
RENEW_SECONDS = 1.0
#: How long a process waits along after a sweep found another one registered (seconds): longer than between two sweeps.
FOLLOW_SECONDS = 2.5
#: How long a process that stops waits for its last call of the ledger (seconds): longer than a wait for events.
CLOSE_SECONDS = 2.0
#: Batches of events are at least this far apart on average (seconds), so that many events a second make larger ones.
INTERVAL_SECONDS = 0.004
#: This many batches may come at once after a pause.
BURST = 3
#: Calls of `observe` under way at once. One that takes longer than PATIENCE_SECONDS counts no more: it may be a large
#: fan-out, which goes on beside others.
AT_ONCE = 4
PATIENCE_SECONDS = 0.1


class HotLedger(Protocol):
    """The part of the ledger that has new events for registered processes."""

    async def join(self) -> None: ...
    async def leave(self) -> Sequence[str]: ...
    async def wait(self) -> NewEvents: ...


class HotObserver:
    """Waits for new events, and has them observed.

    Args:
        ledger: Has the new events.
        observe: Observes events; it raises nothing.
        free_slots: Returns how many attempts this process can start.
        hand_over: Announces events to the fleet by the broker.
        idle: How long it stays registered without an event (seconds); 0 disables it.
    """

    def __init__(
        self,
        ledger: HotLedger,
        observe: Callable[[NewEvents], Awaitable[None]],
        free_slots: Callable[[], int],
        hand_over: Callable[[Sequence[str]], None],
        idle: float,
    ) -> None:
        self._ledger = ledger
        self._observe = observe
        self._free_slots = free_slots
        self._hand_over = hand_over
        self._idle = idle
        self._registered_until = self._follow_until = self._renew_at = 0.0
        # As in GCRA: when the next batch would be due if none came ahead of time.
        self._next_at = 0.0
        self._registered = False
        self._stopping = False
        self._waiting: asyncio.Task[None] | None = None
        #: The calls of `observe` under way, and when each began.
        self._begun: dict[asyncio.Future[None], float] = {}

    def start(self) -> None:
        """Register, and observe new events until none has come for `idle` seconds; a wake-up brought some."""
        self._registered_until = monotonic() + self._idle
        self._wait()

    def follow(self) -> None:
        """Observe new events along with a process that is registered."""
        self._follow_until = monotonic() + FOLLOW_SECONDS
        self._wait()

    def stop(self) -> None:
        """Wait for no more events."""
        self._stopping = True

    async def close(self) -> None:
        """Wait until this process is no longer registered; events that wait for it go to other processes.

        A ledger that does not answer is not waited for: the registration runs out, and sweeps announce the events.
        """
        self.stop()
        if self._waiting is not None:
            _, late = await asyncio.wait([self._waiting], timeout=CLOSE_SECONDS)
            await end(late)

    def _wait(self) -> None:
        if self._idle and not self._stopping and self._free_slots() and self._waiting is None:
            self._waiting = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            try:
                while not self._stopping and self._free_slots() and await self._is_wanted():
                    if (pause := self._next_at - (BURST - 1) * INTERVAL_SECONDS - monotonic()) > 0:
                        await asyncio.sleep(pause)
                    await self._begin(await self._ledger.wait())
            finally:
                if self._registered:
                    await self._leave()
        except LedgerError as error:
            # A registration runs out by itself, and sweeps announce what waits.
            _log.warning("hot observer ends", why=str(error))
        except Exception:  # noqa: BLE001  (a bug; wake-ups by the broker go on)
            _log.exception("hot observer ends")
        finally:
            self._waiting, self._renew_at = None, 0.0

    async def _is_wanted(self) -> bool:
        """Renew or end the registration; return whether to wait for events."""
        now = monotonic()
        if now < self._registered_until:
            if now >= self._renew_at:
                await self._ledger.join()
                self._registered, self._renew_at = True, now + RENEW_SECONDS
            return True
        if self._registered:
            await self._leave()
        return now < self._follow_until

    async def _leave(self) -> None:
        self._registered, self._renew_at = False, 0.0
        if left := await self._ledger.leave():
            self._hand_over(left)

    async def _begin(self, new: NewEvents) -> None:
        if not new:
            return
        if self._registered:
            self._registered_until = monotonic() + self._idle
        self._next_at = max(self._next_at, monotonic()) + INTERVAL_SECONDS
        now = monotonic()
        begun = asyncio.ensure_future(self._observe(new))
        self._begun[begun] = now
        begun.add_done_callback(self._begun.pop)
        if len(self._begun) < AT_ONCE:
            return
        young = {each: at for each, at in self._begun.items() if at > now - PATIENCE_SECONDS}
        if len(young) >= AT_ONCE:
            patience = min(young.values()) + PATIENCE_SECONDS - now
            await asyncio.wait(young, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
