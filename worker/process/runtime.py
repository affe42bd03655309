"""One asyncio loop in a thread of its own for a worker's whole life, in which its rooms are opened and closed."""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from typing import Any

import structlog
import uvloop
from celery.platforms import EX_FAILURE, EX_OK

from config.settings import Settings
from deliverers.registry import DelivererRegistry
from worker.cancellation import end
from worker.delivery.deliverer_options import deliverer_options
from worker.intake.celery_messages import IntakeClosed
from worker.intake.wakeup_sender import WakeupSender
from worker.intake.wakeups import Wakeups
from worker.ledger import Ledger, LedgerError, LedgerPolicy
from worker.ledger.endpoints import find_endpoints
from worker.ledger.startup import reach
from worker.process.stop_signals import stop_celery
from worker.process.wiring import WorkerServices, wire
from worker.telemetry import metrics
from worker.telemetry.process_telemetry import Telemetry
from worker.telemetry.readiness import State
from worker.telemetry.tracing import Traces, exporting
from worker.telemetry.worker_health import WorkerHealth

_log = structlog.get_logger("edw.runtime")

#: Allocations before the cyclic collector looks at the youngest objects, and how often older ones are looked at.
COLLECTOR_THRESHOLDS = (50_000, 20, 100)


class RuntimeStopped(Exception):
    """The runtime is closed, or never was open."""


class Runtime:
    """The loop thread of one worker process."""

    def __init__(self, settings: Settings, send_wakeup: Callable[[str, Any], None]) -> None:
        self._settings = settings
        self.vitals = WorkerHealth()
        self._wakeups = Wakeups(send_wakeup, self.vitals.wakeups)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="edw-runtime", daemon=True)
        self._rooms: asyncio.Future[WorkerServices] = self._loop.create_future()
        self._stopping = asyncio.Event()
        #: Set when the process is told to stop, which is before its pool has finished and it is to drain.
        self._stopping_soon = asyncio.Event()
        #: When what is in flight must be over (on the loop's clock), once the process is told to stop.
        self._drained_by = 0.0
        #: Set when it is not to be waited for at all.
        self._hurry = asyncio.Event()
        self._unsettled = 0

    def start(self) -> None:
        """Starts the thread; the rooms open in it as soon as the ledger answers."""
        self._thread.start()

    def call(self, work: Callable[[WorkerServices], Awaitable[Any]], seconds: float | None = None) -> Any:
        """Runs `work` on the loop, from another thread, and answers what it answers.

        Raises RuntimeStopped, or TimeoutError where it takes longer than `seconds`.
        """
        if not self._thread.is_alive():
            raise RuntimeStopped
        coroutine = self._work(work)
        try:
            future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            # The loop was closed just now.
            coroutine.close()
            raise RuntimeStopped from None
        try:
            return future.result(seconds)
        except CancelledError:
            raise RuntimeStopped from None
        except TimeoutError:
            future.cancel()
            raise

    def stop_claiming(self) -> None:
        """Lets the process finish what it has, and take no more. Safe in a signal handler."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop_claiming)

    def hurry(self) -> None:
        """Has the drain, now or later, wait for nothing that is in flight. Safe in a signal handler."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._hurry.set)

    def stop(self) -> bool:
        """Drains, settles, closes; answers when the thread has ended. False where something could not be settled."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        return not self._unsettled

    async def _work(self, work: Callable[[WorkerServices], Awaitable[Any]]) -> Any:
        """Waits for the rooms to open, but not longer than this process is to run."""
        if not self._rooms.done():
            stopping = asyncio.ensure_future(self._stopping_soon.wait())
            await asyncio.wait((self._rooms, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
        if not self._rooms.done():
            raise RuntimeStopped
        try:
            return await work(self._rooms.result())
        except IntakeClosed:
            raise RuntimeStopped from None

    def _stop_claiming(self) -> None:
        if not self._stopping_soon.is_set():
            _log.info("worker stops")
            stop_celery(EX_OK)
            # From now on, and not from when Celery has let go of its broker.
            self._drained_by = self._loop.time() + self._settings.drain_seconds
        self._stopping_soon.set()
        if self._rooms.done():
            self._rooms.result().stop_claiming()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                with exporting(self._settings, "edw-worker") as traces:
                    runner.run(self._live(traces))
            except LedgerError as error:
                self._give_up(str(error))
            except Exception as error:  # noqa: BLE001  (the thread's end: nobody else would tell)
                _log.exception("runtime failed")
                self._give_up(f"{type(error).__name__}: {error}")

    @staticmethod
    def _give_up(why: str) -> None:
        """A Celery worker without its runtime would only send every message back: it ends, with an exit code."""
        _log.critical("worker ends", why=why)
        stop_celery(EX_FAILURE)

    async def _live(self, traces: Traces | None) -> None:
        settings = self._settings
        endpoints = find_endpoints(settings)
        ledger = Ledger(endpoints.ledger_url, LedgerPolicy.of(settings), settings.shard)
        types = DelivererRegistry.load()
        options = deliverer_options(settings)
        deliverers = {
            kind: types.create(kind, replace(options, dialled=metrics.dial_counter(kind))) for kind in types.types
        }
        telemetry = Telemetry(ledger, settings)
        try:
            # From the start: a process that waits for its ledger is alive, and says what it waits for.
            await telemetry.open(self.vitals)
            if not await reach(ledger, self._stopping, missed=self._missed):
                return
            self.vitals.ledger.there()
            for deliverer in deliverers.values():
                await deliverer.open()
            rooms = wire(
                settings,
                endpoints.broker_url,
                ledger,
                types,
                deliverers,
                telemetry.clock,
                self._wakeups,
                self.vitals.ledger,
                traces,
            )
            metrics.expect_types(types.types)
            metrics.tell_in_flight(lambda: rooms.deliveries.in_flight, settings.max_in_flight)
            rooms.open()
            self.vitals.begin(rooms.sweeper, rooms.deliveries)
            _relax_collector()
            self._rooms.set_result(rooms)
            _log.info("worker ready", ledger=ledger.address, owner=ledger.owner, types=types.types)
            await self._stopping.wait()
            self._unsettled = await rooms.drain(self._drained_by, self._hurry)
            _log.info("worker drained", unsettled=self._unsettled)
        finally:
            if self._rooms.done():
                self._rooms.result().stop_reading()
            await telemetry.close()
            # What still waits, such as a task for a ledger that is away, is told that this runtime has stopped.
            await end(asyncio.all_tasks() - {asyncio.current_task()})
            self._wakeups.close()
            for deliverer in deliverers.values():
                await deliverer.close()
            await ledger.close()

    def _missed(self, error: LedgerError) -> None:
        self.vitals.ledger.away(error.public, State.RED)


def _relax_collector() -> None:
    """Makes the cyclic collector look less often.

    Hundreds of attempts in flight are tens of thousands of young objects, which live for milliseconds and hardly ever
    form a cycle. With its defaults the collector walks them, and everything that is imported, again and again: a fifth
    of the processor time of a delivery.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


_runtime: Runtime | None = None


def start(settings: Settings) -> None:
    """Starts this process's runtime."""
    global _runtime  # noqa: PLW0603  (Celery's tasks are functions: what they use is the process's own)
    from worker.app import app

    _runtime = Runtime(settings, WakeupSender(app, settings.shard))
    _runtime.start()


def stop_claiming() -> None:
    """Has this process's runtime take no more."""
    if _runtime is not None:
        _runtime.stop_claiming()


def hurry() -> None:
    """Has this process's runtime wait for nothing that is in flight."""
    if _runtime is not None:
        _runtime.hurry()


def stop() -> bool:
    """Drains and closes this process's runtime; False where something could not be settled."""
    global _runtime  # noqa: PLW0603  (as above)
    if _runtime is None:
        return True
    settled = _runtime.stop()
    _runtime = None
    return settled


def heard_of_broker(why: str = "") -> None:
    """Celery takes messages, or cannot: for this process's readiness."""
    if _runtime is None:
        return
    if why:
        _runtime.vitals.messages.away(why, State.DEGRADED)
    else:
        _runtime.vitals.messages.there()


def call(work: Callable[[WorkerServices], Awaitable[Any]], seconds: float | None = None) -> Any:
    """Runs `work` on this process's loop; as Runtime.call()."""
    if _runtime is None:
        raise RuntimeStopped
    return _runtime.call(work, seconds)
