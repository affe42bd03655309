"""Producers that know Celery or Redis, and nothing of ours."""

from typing import Any

import redis
from celery import Celery

from config.celery import EVENTS_QUEUE, INTAKE_QUEUE, OBSERVE_TASK, broker_url_for, is_rabbitmq
from tests.counterparts.redis_server import ANSWER_SECONDS


class ForeignProducer:
    """A program that has only Celery, and sends as the README describes."""

    def __init__(self, broker_url: str) -> None:
        self.app = Celery("producer", broker=broker_url_for(broker_url), set_as_current=False)
        self._where = {"queue": EVENTS_QUEUE}
        if is_rabbitmq(broker_url):
            self._where = {"exchange": EVENTS_QUEUE, "routing_key": EVENTS_QUEUE}

    def send(self, task: str = OBSERVE_TASK, **options: Any) -> str:
        """Send a task, and return its id."""
        return str(self.app.send_task(task, **self._where, **options).id)


def push_to_list(redis_url: str, *messages: str | bytes, queue: str = INTAKE_QUEUE) -> None:
    """Put messages on the plain queue of Redis."""
    with redis.Redis.from_url(redis_url, socket_timeout=ANSWER_SECONDS) as client:
        client.lpush(queue, *messages)


def count_on_list(redis_url: str, queue: str = INTAKE_QUEUE) -> int:
    """Return how many messages of a list of Redis nobody has taken: of the plain queue, or of one of Celery's."""
    with redis.Redis.from_url(redis_url, socket_timeout=ANSWER_SECONDS) as client:
        return int(client.llen(queue))


def messages_on_list(redis_url: str, queue: str = INTAKE_QUEUE) -> list[bytes]:
    """Return the messages of a list of Redis that nobody has taken."""
    with redis.Redis.from_url(redis_url, socket_timeout=ANSWER_SECONDS) as client:
        return list(client.lrange(queue, 0, -1))
