"""How wake-ups get onto the broker: one Celery message for many ids, and never more messages than are worth reading.

What is overdue is announced again and again, and a queue that nobody reads would grow without an end. So its length is
looked at before it is added to. Messages that expire would be no such bound: over Redis they lie in the queue until
somebody reads them, RabbitMQ moves them to the queue for the dead where one is named, and a clock that is wrong makes
fresh ones worthless.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import structlog
from amqp.exceptions import AMQPError, MessageNacked
from celery import Celery
from celery.utils.threads import bound_open_broker_sockets
from kombu.entity import Queue
from kombu.exceptions import HttpError, KombuError
from kombu.messaging import Producer
from redis.exceptions import RedisClusterException, RedisError

from config.celery import BROKER_TIMEOUT, DELIVERIES_QUEUE, EVENTS_QUEUE, queue_name
from worker.intake.wakeups import EVENTS, LANES, BrokerUnavailable

_log = structlog.get_logger("edw.intake")

#: The version of our messages.
MESSAGE_VERSION = 1
#: While so many messages wait in a queue, no wake-up is added: a small fleet takes longer to read them than what they
#: name takes to be overdue again. The sweeps see to whatever is not announced.
WAITING_LIMIT = 2_000
#: A queue's length is looked at again after so long (seconds), and after so many messages of this sender.
LOOK_SECONDS = 1.0
LOOK_MESSAGES = 100
#: A broker that has failed is told that its connection is given up, and waited for no longer than this, each time
#: (seconds).
LET_GO_SECONDS = 0.5

#: What kombu, py-amqp and redis-py raise where a broker is away, silent, full, or refuses. `TimeoutError` is an
#: `OSError`. kombu wraps some errors of a publish into its own, and none of a look.
_FOREIGN = (KombuError, HttpError, AMQPError, MessageNacked, RedisError, RedisClusterException, OSError)

_TASKS = {
    EVENTS: ("worker.tasks.observe", "event_ids", EVENTS_QUEUE),
    LANES: ("worker.tasks.deliver", "lane_ids", DELIVERIES_QUEUE),
}


@contextmanager
def mapped() -> Iterator[None]:
    """Raise what the broker's clients raise as `BrokerUnavailable`; other exceptions are bugs, and pass."""
    try:
        yield
    except _FOREIGN as error:
        raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error


@dataclass(slots=True)
class _Seen:
    """How long a queue was, and when that was last looked at (monotonic seconds)."""

    waiting: int = 0
    looked_at: float = -LOOK_SECONDS
    added: int = 0

    @property
    def is_old(self) -> bool:
        return self.added >= LOOK_MESSAGES or monotonic() - self.looked_at >= LOOK_SECONDS


class WakeupSender:
    """Sends wake-ups through a Celery application's producers, to queues in which fewer than `limit` messages wait."""

    def __init__(self, app: Celery, shard: str, limit: int = WAITING_LIMIT) -> None:
        self._app = app
        self._shard = shard
        self._limit = limit
        self._seen = {kind: _Seen() for kind in _TASKS}

    def __call__(self, kind: str, ids: Sequence[str]) -> None:
        """Send one message, or none where too many wait.

        Raises `BrokerUnavailable` where the broker fails, whether while its queue is looked at or while the message is
        sent, and no other exception for that.
        """
        with mapped(), self._app.producer_or_acquire() as producer:
            try:
                if self._may_send(kind, producer):
                    self._send(kind, ids, producer)
            except Exception:
                # The pool closes the connection now, for which an AMQP client would wait without end.
                bound_open_broker_sockets(producer.connection, LET_GO_SECONDS)
                raise

    def _send(self, kind: str, ids: Sequence[str], producer: Producer) -> None:
        task, argument, _ = _TASKS[kind]
        message: dict[str, Any] = {"v": MESSAGE_VERSION, "shard": self._shard, argument: list(ids)}
        self._app.send_task(task, kwargs=message, ignore_result=True, retry=False, producer=producer)
        self._seen[kind].added += 1

    def _may_send(self, kind: str, producer: Producer) -> bool:
        last = self._seen[kind]
        if last.is_old:
            # A look that fails leaves nothing behind: the next message looks again, and so finds a broker that is back.
            self._seen[kind] = _Seen()
            queue = self._app.amqp.queues[queue_name(_TASKS[kind][2], self._shard)]
            self._seen[kind] = seen = _Seen(_waiting(queue, producer), monotonic())
            self._log_change(queue, last, seen)
        return self._seen[kind].waiting < self._limit

    def _log_change(self, queue: Queue, last: _Seen, seen: _Seen) -> None:
        if (was_full := last.waiting >= self._limit) != (seen.waiting >= self._limit):
            log = _log.info if was_full else _log.warning
            log("wake-ups sent again" if was_full else "wake-ups withheld", queue=queue.name, waiting=seen.waiting)


def _waiting(queue: Queue, producer: Producer) -> int:
    """How many messages wait in a queue, which is made where there is none."""
    channel = producer.channel
    # Neither would it have an end to wait for the answer of a broker that is frozen.
    bound_open_broker_sockets(producer.connection, BROKER_TIMEOUT)
    return int(queue(channel).queue_declare().message_count)
