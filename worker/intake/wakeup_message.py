"""Wake-ups as Celery's messages, and the queues that they wait in. No I/O, and nothing of Celery is imported.

A wake-up has the form of Celery's protocol 2, in the envelope in which kombu keeps messages in Redis. A test compares
it with a message that Celery itself sends.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from config.celery import DELIVER_TASK, DELIVERIES_QUEUE, EVENTS_QUEUE, OBSERVE_TASK, queue_name
from worker.domain.name_uuid import random_uuid
from worker.intake.wakeups import EVENTS, LANES

#: The version of our message format, and the minor version that a worker needs to understand a wake-up. A worker leaves
#: a message of a newer version to newer workers.
MESSAGE_VERSION = 1
WAKEUP_MINOR = 0
#: Number of waiting messages at which a sender stops adding wake-ups to a queue. A small fleet needs longer to read
#: that many than their ids need to become overdue again. The sweeps find everything that is not announced.
WAITING_LIMIT = 2_000
#: A queue's length is checked again after this time (seconds).
LOOK_SECONDS = 1.0

#: Kind of wake-up → its task, the argument with its ids, and its queue.
TASKS = {
    EVENTS: (OBSERVE_TASK, "event_ids", EVENTS_QUEUE),
    LANES: (DELIVER_TASK, "lane_ids", DELIVERIES_QUEUE),
}

_EMBEDDED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_encode = msgspec.json.Encoder().encode
_ID = "%(id)b"


def arguments_of(kind: str, ids: Sequence[str], shard: str, minor: int) -> dict[str, Any]:
    """Return the arguments of a wake-up's task; `minor` is the minor version that this process may write."""
    arguments: dict[str, Any] = {"v": MESSAGE_VERSION, "shard": shard, TASKS[kind][1]: list(ids)}
    if written := min(WAKEUP_MINOR, minor):
        arguments["minor"] = written
    return arguments


def queue_of(kind: str, shard: str) -> str:
    """Return the queue of a kind of wake-up."""
    return queue_name(TASKS[kind][2], shard)


def redis_message(kind: str, ids: Sequence[str], shard: str, minor: int) -> bytes:
    """Return a wake-up as it waits in a list of a Redis broker."""
    body = b64encode(_encode(((), arguments_of(kind, ids, shard, minor), _EMBEDDED)))
    return _envelope(kind, shard) % {b"body": body, b"id": random_uuid().encode()}


@lru_cache(8)  # the kinds of a shard
def _envelope(kind: str, shard: str) -> bytes:
    """Return a message's envelope, with `%(body)b` and `%(id)b` for what each message has of its own.

    No queue's name has a percent sign.
    """
    return _encode(
        {
            "body": "%(body)b",
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {
                "lang": "py",
                "task": TASKS[kind][0],
                "id": _ID,
                "root_id": _ID,
                "parent_id": None,
                "group": None,
                "shadow": None,
                "eta": None,
                "expires": None,
                "retries": 0,
                "timelimit": (None, None),
                "ignore_result": True,
            },
            "properties": {
                "correlation_id": _ID,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": queue_of(kind, shard)},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": _ID,
            },
        }
    )


@dataclass(slots=True)
class QueueLevel:
    """A queue's length, and when it was seen (monotonic seconds)."""

    limit: int = WAITING_LIMIT
    waiting: int = 0
    looked_at: float = -LOOK_SECONDS

    @property
    def is_full(self) -> bool:
        """Whether no message is to be added."""
        return self.waiting >= self.limit

    def is_old(self, now: float) -> bool:
        """Return whether a full queue is to be looked at again."""
        return now - self.looked_at >= LOOK_SECONDS

    def note(self, waiting: int, now: float) -> bool:
        """Note the queue's length; return whether it became full, or was full and is not."""
        was_full, self.waiting, self.looked_at = self.is_full, waiting, now
        return was_full != self.is_full
