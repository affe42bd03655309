"""The asyncio loop of a worker process, in a thread of its own, in which its services open and close."""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from contextlib import AsyncExitStack
from typing import Any

import structlog
import uvloop
from celery import Celery
from celery.platforms import EX_FAILURE, EX_OK

from config.settings import Settings
from deliverers.registry import DelivererRegistry
from worker.delivery.opened_deliverers import opened_deliverers
from worker.event_loop.cancellation import end
from worker.http_server.limits import raise_descriptor_limit
from worker.intake.celery_messages import IntakeClosed
from worker.intake.redis_wakeups import RedisWakeupSender, speaks_redis
from worker.intake.wakeups import Send, Wakeups
from worker.ledger import Ledger, LedgerError, LedgerPolicy
from worker.ledger.connection.endpoints import find_endpoints
from worker.ledger.connection.startup import reach
from worker.process import collector
from worker.process.stop_signals import stop_celery
from worker.process.wiring import WorkerServices, wire
from worker.telemetry import metrics
from worker.telemetry.ledger_calls import LedgerCallMetrics
from worker.telemetry.process_telemetry import Telemetry
from worker.telemetry.readiness import State
from worker.telemetry.tracing import exporting
from worker.telemetry.tracing.traces import Traces
from worker.telemetry.worker_health import WorkerHealth

_log = structlog.get_logger("edw.process")

#: How long the busy loop may keep Celery's threads waiting for the interpreter (seconds). Python's own 5 ms add up: a
#: message needs the interpreter several times until its events are observed.
SWITCH_SECONDS = 0.001


class RuntimeStopped(Exception):
    """The runtime is closed or was never started."""


class Runtime:
    """The loop of a worker process and its thread."""

    def __init__(self, settings: Settings, send_wakeup: Callable[[str, Any], None]) -> None:
        self._settings = settings
        self.health = WorkerHealth()
        self._wakeups = Wakeups(send_wakeup, self.health.wakeups)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="edw-runtime", daemon=True)
        self._services: asyncio.Future[WorkerServices] = self._loop.create_future()
        self._stopping = asyncio.Event()
        #: Set when the process receives a signal to stop; Celery's pool finishes before the drain begins.
        self._stopping_soon = asyncio.Event()
        #: The deadline of attempts in flight (seconds of the loop's clock), once the process is asked to stop.
        self._drained_by = 0.0
        #: Set when the drain is not to wait for attempts in flight.
        self._hurry = asyncio.Event()
        #: Calls of other threads that are under way.
        self._calls: set[asyncio.Task[Any]] = set()
        self._cut_off = False
        self._unsettled = 0
        self._ledger: Ledger | None = None

    @property
    def written_minor(self) -> int:
        """The minor version that this process writes; 0 before the ledger was reached."""
        return 0 if self._ledger is None else self._ledger.membership.minor

    def start(self) -> None:
        """Start the thread; the services open in it as soon as the ledger answers."""
        sys.setswitchinterval(SWITCH_SECONDS)
        self._thread.start()

    def call(self, work: Callable[[WorkerServices], Awaitable[Any]], seconds: float | None = None) -> Any:
        """Run `work` on the loop, from another thread, and return its result.

        Raises RuntimeStopped, or TimeoutError if it takes longer than `seconds`.
        """
        if not self._thread.is_alive():
            raise RuntimeStopped
        coroutine = self._work(work)
        try:
            future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            # The loop has closed since the check above.
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
        """Take no more jobs, and let those in flight finish. Safe in a signal handler."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop_claiming)

    def hurry(self) -> None:
        """Interrupt attempts in flight in the present or later drain. Safe in a signal handler."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._hurry.set)
            self._loop.call_soon_threadsafe(self._cut_off_calls)

    def stop(self) -> bool:
        """Drain, settle and close; wait for the thread to end. Returns False if an attempt could not be settled."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        return not self._unsettled

    async def _work(self, work: Callable[[WorkerServices], Awaitable[Any]]) -> Any:
        """Run `work` once the services are open. Raises RuntimeStopped if the process stops before."""
        if not self._services.done():
            stopping = asyncio.ensure_future(self._stopping_soon.wait())
            await asyncio.wait((self._services, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
        if self._cut_off or not self._services.done():
            raise RuntimeStopped
        call = asyncio.current_task()
        assert call is not None  # noqa: S101  (a coroutine of the loop has a task)
        self._calls.add(call)
        try:
            return await work(self._services.result())
        except IntakeClosed:
            raise RuntimeStopped from None
        finally:
            self._calls.discard(call)

    def _cut_off_calls(self) -> None:
        """End the calls of other threads, which would keep Celery's pool from ending: they get RuntimeStopped."""
        self._cut_off = True
        for call in self._calls:
            call.cancel()

    def _stop_claiming(self) -> None:
        if not self._stopping_soon.is_set():
            _log.info("worker stops")
            stop_celery(EX_OK)
            # The time counts from now, and not from when Celery has disconnected from its broker.
            self._drained_by = self._loop.time() + self._settings.drain_seconds
            self._loop.call_at(self._drained_by, self._cut_off_calls)
        self._stopping_soon.set()
        if self._services.done():
            self._services.result().stop_claiming()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                with exporting(self._settings, "edw-worker") as traces:
                    runner.run(self._live(traces))
            except LedgerError as error:
                self._give_up(str(error))
            except Exception as error:  # noqa: BLE001  (the thread ends here, and nothing else would report it)
                _log.exception("runtime failed")
                self._give_up(f"{type(error).__name__}: {error}")

    @staticmethod
    def _give_up(why: str) -> None:
        """End the Celery worker with a failure code; without the runtime, it would only requeue every message."""
        _log.critical("worker ends", why=why)
        stop_celery(EX_FAILURE)

    async def _live(self, traces: Traces | None) -> None:
        settings = self._settings
        endpoints = find_endpoints(settings)
        ledger = Ledger(endpoints.ledger_url, LedgerPolicy.of(settings), settings.shard, LedgerCallMetrics())
        self._ledger = ledger
        types = DelivererRegistry.load()
        opened = AsyncExitStack()
        raise_descriptor_limit()
        telemetry = Telemetry(ledger, settings)
        try:
            # Telemetry comes first, so that a process that waits for its ledger reports that it is alive and waits.
            await telemetry.open(self.health)
            if not await reach(ledger, self._stopping, missed=self._missed):
                return
            self.health.ledger.there()
            deliverers = await opened.enter_async_context(opened_deliverers(settings, types))
            services = wire(
                settings,
                endpoints.broker_url,
                ledger,
                types,
                deliverers,
                telemetry.clock,
                self._wakeups,
                self.health.ledger,
                traces,
            )
            metrics.expect_types(types.types)
            metrics.track_in_flight(lambda: services.deliveries.in_flight, lambda: services.deliveries.limit)
            services.open()
            self.health.begin(services.sweeper, services.deliveries)
            collector.relax()
            collecting = asyncio.create_task(collector.collect_regularly())
            self._services.set_result(services)
            _log.info("worker ready", ledger=ledger.address, owner=ledger.owner, types=types.types)
            await self._stopping.wait()
            collecting.cancel()
            self._unsettled = await services.drain(self._drained_by, self._hurry)
            _log.info("worker drained", unsettled=self._unsettled)
        finally:
            if self._services.done():
                self._services.result().stop_reading()
            await telemetry.close()
            # Cancel calls that still wait, perhaps for a ledger that is away; their callers get RuntimeStopped.
            await end(asyncio.all_tasks() - {asyncio.current_task()})
            self._wakeups.close()
            await opened.aclose()
            await ledger.close()

    def _missed(self, error: LedgerError) -> None:
        self.health.ledger.away(error.public, State.RED)


_runtime: Runtime | None = None


def start(settings: Settings, app: Celery) -> None:
    """Start this process's runtime; `app` sends its wake-ups if the broker is not Redis."""
    global _runtime  # noqa: PLW0603  (Celery's tasks are functions, so they need a runtime of the process)
    _runtime = Runtime(settings, _sender(settings, app))
    _runtime.start()


def _sender(settings: Settings, app: Celery) -> Send:
    url = find_endpoints(settings).broker_url
    if speaks_redis(url):
        return RedisWakeupSender(url, settings.shard, _written_minor)
    from worker.intake.wakeup_sender import WakeupSender

    return WakeupSender(app, settings.shard, minor=_written_minor)


def _written_minor() -> int:
    return 0 if _runtime is None else _runtime.written_minor


def stop_claiming() -> None:
    """Make this process's runtime take no more jobs."""
    if _runtime is not None:
        _runtime.stop_claiming()


def hurry() -> None:
    """Make this process's runtime interrupt its attempts in flight."""
    if _runtime is not None:
        _runtime.hurry()


def stop() -> bool:
    """Drain and close this process's runtime; return False if an attempt could not be settled."""
    global _runtime  # noqa: PLW0603  (as above)
    if _runtime is None:
        return True
    settled = _runtime.stop()
    _runtime = None
    return settled


def note_broker_state(why: str = "") -> None:
    """Note in this process's readiness whether Celery can receive messages; `why` is the problem, if any."""
    if _runtime is None:
        return
    if why:
        _runtime.health.messages.away(why, State.DEGRADED)
    else:
        _runtime.health.messages.there()


def call(work: Callable[[WorkerServices], Awaitable[Any]], seconds: float | None = None) -> Any:
    """Run `work` on this process's loop, like `Runtime.call()`."""
    if _runtime is None:
        raise RuntimeStopped
    return _runtime.call(work, seconds)
