"""Sending of wake-ups by Celery's client: one message for many ids, and a bounded number of waiting messages.

It serves every broker. Where Redis is the broker, `redis_wakeups` sends the same messages at a tenth of the cost.

The sweeps announce overdue work again and again, so a queue that nobody reads would grow without end. The sender
therefore checks a queue's length before it adds a message. Expiring messages would not bound it. On Redis they stay in
the queue until somebody reads them. RabbitMQ moves them to the dead letter queue, if one is named. And a wrong clock
makes new messages expire at once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

import structlog
from amqp.exceptions import AMQPError, MessageNacked
from celery import Celery
from celery.utils.threads import bound_open_broker_sockets
from kombu.entity import Queue
from kombu.exceptions import HttpError, KombuError
from kombu.messaging import Producer
from redis.exceptions import RedisClusterException, RedisError

from config.celery import BROKER_TIMEOUT, celery_options
from config.settings import Settings
from worker.intake.wakeup_message import LOOK_SECONDS, TASKS, WAITING_LIMIT, arguments_of, queue_of
from worker.intake.wakeups import BrokerUnavailable

_log = structlog.get_logger("edw.intake")

#: A queue's length is checked again after LOOK_SECONDS or this number of messages from this sender.
LOOK_MESSAGES = 100
#: Longest wait for a failed broker in each step of closing its connection (seconds).
LET_GO_SECONDS = 0.5

#: What kombu, py-amqp and redis-py raise if a broker is away, silent or full, or refuses. `TimeoutError` is an
#: `OSError`. kombu wraps some errors of a publish in its own, but none of the check of a queue's length.
_FOREIGN = (KombuError, HttpError, AMQPError, MessageNacked, RedisError, RedisClusterException, OSError)


def client_app(name: str, settings: Settings, broker_url: str) -> Celery:
    """Return an application of Celery that only sends."""
    app = Celery(name, set_as_current=False)
    app.conf.update(celery_options(settings, broker_url))
    return app


def ping(app: Celery) -> None:
    """Connect to the broker and disconnect. Raises what its client raises."""
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=app.conf.broker_connection_timeout)


@contextmanager
def mapped() -> Iterator[None]:
    """Convert the exceptions of the broker's clients to `BrokerUnavailable`. Other exceptions are bugs, and pass."""
    try:
        yield
    except _FOREIGN as error:
        raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error


@dataclass(slots=True)
class _Seen:
    """A queue's length, when it was checked (monotonic seconds), and the messages that were added since."""

    waiting: int = 0
    looked_at: float = -LOOK_SECONDS
    added: int = 0

    @property
    def is_old(self) -> bool:
        return self.added >= LOOK_MESSAGES or monotonic() - self.looked_at >= LOOK_SECONDS


class WakeupSender:
    """Sends wake-ups through a Celery application's producers to queues with fewer than `limit` waiting messages."""

    def __init__(
        self, app: Celery, shard: str, limit: int = WAITING_LIMIT, minor: Callable[[], int] = lambda: 0
    ) -> None:
        """Send through `app`; `minor` returns the minor version that this process may write."""
        self._app = app
        self._shard = shard
        self._limit = limit
        self._minor = minor
        self._seen = {kind: _Seen() for kind in TASKS}

    def __call__(self, kind: str, ids: Sequence[str]) -> None:
        """Send one message, or none if too many wait.

        Raises `BrokerUnavailable`, and nothing else, if the broker fails while its queue is checked or while the
        message is sent.
        """
        with mapped(), self._app.producer_or_acquire() as producer:
            try:
                if self._may_send(kind, producer):
                    self._send(kind, ids, producer)
            except Exception:
                # The pool now closes the connection. Without a bound, an AMQP client would wait for that without end.
                bound_open_broker_sockets(producer.connection, LET_GO_SECONDS)
                raise

    def _send(self, kind: str, ids: Sequence[str], producer: Producer) -> None:
        message = arguments_of(kind, ids, self._shard, self._minor())
        self._app.send_task(TASKS[kind][0], kwargs=message, ignore_result=True, retry=False, producer=producer)
        self._seen[kind].added += 1

    def _may_send(self, kind: str, producer: Producer) -> bool:
        last = self._seen[kind]
        if last.is_old:
            # Reset first: after a failed check, the next message checks again, and finds a broker that is back.
            self._seen[kind] = _Seen()
            queue = self._app.amqp.queues[queue_of(kind, self._shard)]
            self._seen[kind] = seen = _Seen(_waiting(queue, producer), monotonic())
            self._log_change(queue, last, seen)
        return self._seen[kind].waiting < self._limit

    def _log_change(self, queue: Queue, last: _Seen, seen: _Seen) -> None:
        if (was_full := last.waiting >= self._limit) != (seen.waiting >= self._limit):
            log = _log.info if was_full else _log.warning
            log("wake-ups sent again" if was_full else "wake-ups withheld", queue=queue.name, waiting=seen.waiting)


def _waiting(queue: Queue, producer: Producer) -> int:
    """Return the number of messages that wait in a queue. Declares the queue if it does not exist."""
    channel = producer.channel
    # Without a bound, the wait for a frozen broker's answer would have no end.
    bound_open_broker_sockets(producer.connection, BROKER_TIMEOUT)
    return int(queue(channel).queue_declare().message_count)
