"""The plain queue on RabbitMQ: reads `edw.intake` by kombu, in a thread of its own beside the loop.

A message is acknowledged when the ledger has its events, or has kept why they are none. Where this process or the
connection ends between the two, it comes again, and is a duplicate by its events' ids. An event that has no id gets one
of its message's `message_id`; without that as well, it would be another event.
"""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import CancelledError, Future, wait
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

import structlog
from kombu.connection import Connection

from config.amqp_tls import amqp_tls
from config.celery import (
    BROKER_TIMEOUT,
    CONNECT_TIMEOUT,
    EVENTS_QUEUE,
    HEARTBEAT,
    dead_queue,
    intake_queues,
    queue_name,
)
from deliverers.backoff import Backoff
from worker.domain.cloudevents import attributes_of_properties, event_of_binary
from worker.domain.event import Ingress, Refusal
from worker.domain.event_parser import EventRules, parse_event
from worker.domain.trace_context import TRACEPARENT, TRACESTATE, TraceContext
from worker.intake.celery_messages import IntakeClosed
from worker.intake.message_parser import Parsed, parse_message, traced

_log = structlog.get_logger("edw.intake")

#: Messages that are taken together, and that RabbitMQ sends before the first of them is acknowledged.
PREFETCH = 200
#: A message waits so long for company (seconds).
LINGER_SECONDS = 0.01
#: How often an idle reader looks whether it is to stop, and one that waits for the ledger has its heart beat (seconds).
LOOK_SECONDS = 0.25
KEEP_ALIVE_SECONDS = 1.0
#: AMQP's reply codes for what one may not declare, and for what was declared otherwise.
ACCESS_REFUSED = 403
PRECONDITION_FAILED = 406
#: Pauses between tries while RabbitMQ is away. Even when a try fails just before RabbitMQ's return, the queue is read
#: again within 5 s of it.
BACKOFF = Backoff(first=0.5, longest=2.0)
#: The end of the process waits so long for the thread (seconds); RabbitMQ has what was not acknowledged.
CLOSE_SECONDS = 2.0


class MessageIntake(Protocol):
    """What takes what messages bring (worker.intake.celery_messages)."""

    async def keep(self, parsed: Sequence[Parsed], source: str, ingress: Ingress) -> list[str]: ...
    async def observe(self, refs: Sequence[str]) -> None: ...


class RabbitMQReader:
    """Reads the plain queue of a RabbitMQ, which may be away for as long as it likes."""

    def __init__(self, broker_url: str, shard: str, intake: MessageIntake, rules: EventRules) -> None:
        self._url = broker_url
        self._queue, self._dead = intake_queues(shard)
        self._dead_events = dead_queue(queue_name(EVENTS_QUEUE, shard))
        self._intake = intake
        self._rules = rules
        self._closing = threading.Event()
        self._away = False
        self._arrived: list[Any] = []
        #: Tries that failed since the queue was last read.
        self._failures = 0
        # A daemon: a broker that is frozen must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="edw-intake", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._observing: Future[Any] | None = None

    def open(self) -> None:
        """Starts reading; what is read is taken on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Takes no more. Safe in any thread."""
        self._closing.set()

    async def close(self) -> None:
        """Ends reading; what is not acknowledged by then goes back to the queue."""
        self.stop()
        if self._loop is not None:
            await asyncio.to_thread(self._thread.join, CLOSE_SECONDS)

    def _run(self) -> None:
        url, tls = amqp_tls(self._url)
        broker = Connection(
            url,
            ssl=tls,
            connect_timeout=CONNECT_TIMEOUT,
            heartbeat=HEARTBEAT,
            transport_options={"read_timeout": BROKER_TIMEOUT, "write_timeout": BROKER_TIMEOUT},
        )
        while not self._closing.is_set():
            line = None
            try:
                line = broker.transport.establish_connection()
                self._read(line)
                _hang_up(line)
            except (IntakeClosed, CancelledError):
                # This process stops; RabbitMQ gives the messages to another.
                break
            except (*broker.connection_errors, *broker.channel_errors, OSError) as error:
                self._lost(error)
            except Exception:  # noqa: BLE001  (a reader that dies would strand the queue)
                _log.exception("cannot read the plain queue")
            finally:
                if line is not None:
                    line.collect()
            self._failures += 1
            if self._closing.wait(BACKOFF.pause(self._failures)):
                break
            broker.maybe_switch_next()

    def _lost(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            _log.warning("the plain queue's broker is away", why=f"{type(error).__name__}: {error}")

    def _back(self) -> None:
        if self._away:
            self._away = False
            _log.info("the plain queue's broker is back")

    def _read(self, line: Any) -> None:
        """Reads until this process is to stop; raises what the connection raises."""
        self._arrived = []
        channel = self._consume(line)
        self._back()
        while not self._closing.is_set():
            _drain(line, LOOK_SECONDS)
            if self._arrived:
                self._together(line)
                batch, self._arrived = self._arrived, []
                self._take(line, channel, batch)
            line.heartbeat_tick(rate=2)
            self._failures = 0

    def _consume(self, line: Any) -> Any:
        channel = line.channel()
        try:
            # Celery's own too: it declares only what it reads, and would have RabbitMQ drop what is set aside.
            for queue in (self._dead_events, self._dead, self._queue):
                queue(channel).queue_declare()
        except line.channel_errors as error:
            if error.reply_code not in (ACCESS_REFUSED, PRECONDITION_FAILED):
                raise
            # Somebody declared it otherwise, or we may not: it is read as it is.
            _log.warning("the plain queue is not as this worker declares it", queue=self._queue.name, why=str(error))
            channel = line.channel()
            channel.queue_declare(self._queue.name, passive=True)
        # Bytes stay bytes, whatever encoding a producer names.
        channel.auto_decode = False
        channel.basic_qos(0, PREFETCH, False)
        channel.basic_consume(self._queue.name, callback=self._arrived_at, no_ack=False)
        return channel

    def _arrived_at(self, message: Any) -> None:
        self._arrived.append(message)

    def _together(self, line: Any) -> None:
        """Waits a moment for what comes at the same time."""
        end = monotonic() + LINGER_SECONDS
        while len(self._arrived) < PREFETCH and (left := end - monotonic()) > 0:
            _drain(line, left)

    def _take(self, line: Any, channel: Any, batch: Sequence[Any]) -> None:
        parsed = [each for message in batch for each in self._parse(message)]
        keeping = self._on_loop(self._intake.keep(parsed, self._queue.name, Ingress.QUEUE))
        try:
            refs = self._result(line, keeping)
        finally:
            # Where the connection is lost meanwhile, it is given up: the messages come again.
            keeping.cancel()
        # Tags are in order, and everything before was acknowledged: so this is the whole batch.
        channel.basic_ack(batch[-1].delivery_tag, multiple=True)
        if self._observing is not None:
            self._result(line, self._observing)
        self._observing = self._on_loop(self._observe(refs))

    async def _observe(self, refs: Sequence[str]) -> None:
        try:
            await self._intake.observe(refs)
        except Exception:  # noqa: BLE001  (the ledger has the events, and a sweep will see to them)
            _log.exception("observed later")

    def _parse(self, message: Any) -> list[Parsed]:
        body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
        properties = message.properties
        content_type = properties.get("content_type")
        headers = properties.get("application_headers") or {}
        trace = TraceContext.of(headers.get(TRACEPARENT), headers.get(TRACESTATE))
        attributes = attributes_of_properties(headers, content_type)
        if attributes is None:
            return traced(parse_message(body, self._rules, properties.get("message_id")), trace)
        ours = event_of_binary(attributes, body)
        return traced([(ours if isinstance(ours, Refusal) else parse_event(ours, self._rules), body)], trace)

    def _on_loop(self, work: Coroutine[Any, Any, Any]) -> "Future[Any]":
        assert self._loop is not None  # noqa: S101  (open() came first)
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            # The loop was closed just now.
            work.close()
            raise IntakeClosed from None

    def _result(self, line: Any, work: "Future[Any]") -> Any:
        """What the loop answers; the connection is kept alive as long as that takes."""
        while not wait((work,), KEEP_ALIVE_SECONDS).done:
            if self._loop is None or self._loop.is_closed():
                raise IntakeClosed
            _drain(line, LINGER_SECONDS)
            line.heartbeat_tick(rate=2)
        return work.result()


def _drain(line: Any, seconds: float) -> None:
    """Reads what comes next, or nothing for so long."""
    with suppress(TimeoutError):
        line.drain_events(timeout=seconds)


def _hang_up(line: Any) -> None:
    with suppress(Exception):
        line.close()
