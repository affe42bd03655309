"""The four ways in, as producers use them: `send` returns when an event is accepted, and else raises."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import requests
from celery import Celery
from kombu.connection import Connection
from redis import Redis

from config.celery import EVENTS_QUEUE, INTAKE_QUEUE, OBSERVE_TASK, broker_url_for, is_rabbitmq
from config.settings import load_settings
from worker.publisher import Publisher

#: No ingress may keep a producer for longer (seconds).
PATIENCE = 5.0

Event = Mapping[str, Any]
Send = Callable[[Event], object]


def by_publisher(api: str, token: str) -> Send:
    """The Publisher class."""
    return Publisher().publish


def by_http(api: str, token: str) -> Send:
    """The API."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"

    def send(event: Event) -> None:
        session.post(f"{api}/v2/events", json={"data": event}, timeout=PATIENCE).raise_for_status()

    return send


def by_plain_queue(api: str, token: str) -> Send:
    """The plain queue: that of the broker, where this is RabbitMQ, and else the list."""
    settings = load_settings()
    if settings.broker_url is None:
        assert settings.redis_url is not None
        client = Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=PATIENCE)
        return lambda event: client.lpush(INTAKE_QUEUE, json.dumps(event))
    connection = Connection(
        settings.broker_url.get_secret_value(), connect_timeout=PATIENCE, transport_options={"confirm_publish": True}
    )

    def send(event: Event) -> None:
        try:
            channel = connection.default_channel
            message = channel.prepare_message(json.dumps(event).encode(), properties={"delivery_mode": 2})
            channel.basic_publish(
                message, exchange="", routing_key=INTAKE_QUEUE, mandatory=True, confirm_timeout=PATIENCE
            )
        except Exception:
            # A line that failed once is no use any more.
            connection.collect()
            raise

    return send


def by_celery(api: str, token: str) -> Send:
    """A raw message to our task, by an application that knows nothing of ours."""
    settings = load_settings()
    url = settings.broker_url or settings.redis_url
    assert url is not None
    broker = url.get_secret_value()
    rabbitmq = is_rabbitmq(broker)
    app = Celery("producer", broker=broker_url_for(broker), set_as_current=False)
    app.conf.broker_transport_options = {"confirm_publish": True} if rabbitmq else {"socket_timeout": PATIENCE}
    app.conf.broker_connection_timeout = PATIENCE
    where = (
        {"exchange": EVENTS_QUEUE, "routing_key": EVENTS_QUEUE, "confirm_timeout": PATIENCE}
        if rabbitmq
        else {"queue": EVENTS_QUEUE}
    )
    once = {"max_retries": 1, "interval_start": 0}

    def send(event: Event) -> None:
        app.send_task(OBSERVE_TASK, kwargs={"events": [event]}, retry_policy=once, **where)

    return send


INGRESSES: Mapping[str, Callable[[str, str], Send]] = {
    "publisher": by_publisher,
    "http": by_http,
    "queue": by_plain_queue,
    "celery": by_celery,
}
