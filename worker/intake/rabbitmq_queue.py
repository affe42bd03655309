"""The plain queue on RabbitMQ: a thread beside the event loop reads `edw.intake` through kombu.

The reader acknowledges a message when the ledger has its events, or the reasons why they are refused. If the process
or the connection ends in between, RabbitMQ delivers the message again. Its events are then duplicates by their ids. An
event without an id gets one derived from its message's `message_id`. If that is missing too, it counts as a new event.
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
from worker.intake.message_parser import Parsed, needs_newer, parse_message, split, traced
from worker.telemetry.newer_versions import NEWER

_log = structlog.get_logger("edw.intake")

#: Most messages that are accepted together, and that RabbitMQ sends before the first of them is acknowledged.
PREFETCH = 200
#: Time for which a message waits for others, to be accepted together with them (seconds).
LINGER_SECONDS = 0.01
#: How often an idle reader checks whether it must stop (seconds).
LOOK_SECONDS = 0.25
#: How often a reader that waits for the ledger sends a heartbeat (seconds).
KEEP_ALIVE_SECONDS = 1.0
#: AMQP's reply codes for a queue that this user may not declare, and for one that exists with other arguments.
ACCESS_REFUSED = 403
PRECONDITION_FAILED = 406
#: Pauses between tries while RabbitMQ is away. The queue is read again within 5 s of RabbitMQ's return, even if a try
#: fails just before it.
BACKOFF = Backoff(first=0.5, longest=2.0)
#: Longest wait for the thread when the process ends (seconds). RabbitMQ still has the unacknowledged messages.
CLOSE_SECONDS = 2.0


class MessageIntake(Protocol):
    """The part of CeleryIntake (worker.intake.celery_messages) that accepts a message's events."""

    async def keep(self, parsed: Sequence[Parsed], source: str, ingress: Ingress) -> list[str]: ...
    async def observe(self, refs: Sequence[str]) -> None: ...


class RabbitMQReader:
    """Reads the plain queue of a RabbitMQ, which may be away for any time."""

    def __init__(self, broker_url: str, shard: str, intake: MessageIntake, rules: EventRules) -> None:
        self._url = broker_url
        self._queue, self._dead = intake_queues(shard)
        self._dead_events = dead_queue(queue_name(EVENTS_QUEUE, shard))
        self._intake = intake
        self._rules = rules
        self._closing = threading.Event()
        #: The kinds of errors since the broker went away.
        self._reasons: set[type[Exception]] = set()
        self._arrived: list[Any] = []
        #: Failed tries since the queue was last read.
        self._failures = 0
        # A daemon thread, because a frozen broker must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="edw-intake", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._observing: Future[Any] | None = None

    def open(self) -> None:
        """Start reading. The running loop accepts the events."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Take no more messages. Safe in any thread."""
        self._closing.set()

    async def close(self) -> None:
        """End reading. Messages that are not acknowledged by then go back to the queue."""
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
                # This process stops; RabbitMQ delivers the messages to another one.
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
        """Log each kind of error once: a broker that is there again may not give the queue's messages."""
        if type(error) not in self._reasons:
            event = "the plain queue is still not read" if self._reasons else "the plain queue's broker is away"
            self._reasons.add(type(error))
            _log.warning(event, why=f"{type(error).__name__}: {error}")

    def _back(self) -> None:
        if self._reasons:
            self._reasons.clear()
            _log.info("the plain queue's broker is back")

    def _read(self, line: Any) -> None:
        """Read until this process is to stop. Raises what the connection raises."""
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
            # The dead letter queue of Celery's queue too: Celery declares only what it reads, and without this queue
            # RabbitMQ would drop the messages that are set aside.
            for queue in (self._dead_events, self._dead, self._queue):
                queue(channel).queue_declare()
        except line.channel_errors as error:
            if error.reply_code not in (ACCESS_REFUSED, PRECONDITION_FAILED):
                raise
            # The queue exists with other arguments, or this user may not declare it: read it as it is.
            _log.warning("cannot declare the plain queue; reading it as it is", queue=self._queue.name, why=str(error))
            channel = line.channel()
            channel.queue_declare(self._queue.name, passive=True)
        # Keep bodies as bytes, whatever encoding a producer names.
        channel.auto_decode = False
        channel.basic_qos(0, PREFETCH, False)
        channel.basic_consume(self._queue.name, callback=self._arrived_at, no_ack=False)
        return channel

    def _arrived_at(self, message: Any) -> None:
        self._arrived.append(message)

    def _together(self, line: Any) -> None:
        """Wait a moment for messages that arrive at the same time."""
        end = monotonic() + LINGER_SECONDS
        while len(self._arrived) < PREFETCH and (left := end - monotonic()) > 0:
            _drain(line, left)

    def _take(self, line: Any, channel: Any, batch: Sequence[Any]) -> None:
        parsed: list[Parsed] = []
        left = 0
        for message in batch:
            found = self._parse(message)
            if needs_newer(split(found)[1]):
                # To the end of the queue; the acknowledgement below removes it from here. Both go by one channel, so
                # RabbitMQ has the message in its new place first.
                channel.basic_publish(message, routing_key=self._queue.name)
                left += 1
            else:
                parsed += found
        NEWER.left("message", left)
        keeping = self._on_loop(self._intake.keep(parsed, self._queue.name, Ingress.QUEUE))
        try:
            refs = self._result(line, keeping)
        finally:
            # If the connection was lost meanwhile, cancel the call: RabbitMQ delivers the messages again.
            keeping.cancel()
        # Tags are in order and everything earlier is acknowledged, so this acknowledges exactly the batch.
        channel.basic_ack(batch[-1].delivery_tag, multiple=True)
        if self._observing is not None:
            self._result(line, self._observing)
        self._observing = self._on_loop(self._observe(refs))
        if left == len(batch):
            # All of them wait for a newer process; without one, this bounds how often they are moved.
            self._closing.wait(KEEP_ALIVE_SECONDS)

    async def _observe(self, refs: Sequence[str]) -> None:
        try:
            await self._intake.observe(refs)
        except Exception:  # noqa: BLE001  (the ledger has the events, and a sweep observes them)
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
        assert self._loop is not None  # noqa: S101  (open() has set it)
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            # The loop was closed meanwhile.
            work.close()
            raise IntakeClosed from None

    def _result(self, line: Any, work: "Future[Any]") -> Any:
        """Return the result of work on the loop, and keep the connection alive until then."""
        while not wait((work,), KEEP_ALIVE_SECONDS).done:
            if self._loop is None or self._loop.is_closed():
                raise IntakeClosed
            _drain(line, LINGER_SECONDS)
            line.heartbeat_tick(rate=2)
        return work.result()


def _drain(line: Any, seconds: float) -> None:
    """Handle the connection's next event, or return after `seconds` without one."""
    with suppress(TimeoutError):
        line.drain_events(timeout=seconds)


def _hang_up(line: Any) -> None:
    with suppress(Exception):
        line.close()
