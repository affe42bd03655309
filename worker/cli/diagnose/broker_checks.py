"""Checks of the broker: whether it answers, and whether its queues have consumers."""

from collections.abc import Iterator
from typing import Any

from kombu.connection import Connection
from kombu.entity import Queue

from config.celery import celery_options, intake_queues, is_rabbitmq
from config.settings import Settings
from worker.cli.diagnose import Finding, failed, ok, warning
from worker.domain.humanize import counted

#: Waiting messages above which workers do not keep up; wake-ups are normally taken within milliseconds.
QUEUE_PATIENCE = 1_000


def examine(settings: Settings, broker_url: str) -> Iterator[Finding]:
    """Connect to the broker and check each queue. Blocks for at most the broker's timeouts."""
    options = celery_options(settings, broker_url)
    connection = Connection(
        options["broker_url"],
        connect_timeout=options["broker_connection_timeout"],
        transport_options=options["broker_transport_options"],
        ssl=options["broker_use_ssl"],
    )
    # kombu shows a masked password even where the URL has none.
    where = connection.as_uri().replace("://:**@", "://")
    try:
        connection.ensure_connection(
            max_retries=1, timeout=options["broker_connection_timeout"], reraise_as_library_errors=False
        )
        yield ok("broker", f"{where} answers")
        rabbitmq = is_rabbitmq(broker_url)
        queues = [*options["task_queues"], *(intake_queues(settings.shard) if rabbitmq else ())]
        for queue in queues:
            yield _queue(connection, queue, rabbitmq=rabbitmq)
    except Exception as error:  # noqa: BLE001  (a broker's client may raise anything)
        advice = "check its log and EDW_BROKER_URL; while Redis answers, deliveries continue, up to seconds later"
        yield failed("broker", f"{where} does not answer: {type(error).__name__}: {error}", advice)
    finally:
        connection.release()


def _queue(connection: Connection, queue: Queue, *, rabbitmq: bool) -> Finding:
    subject = f"queue {queue.name}"
    dead = queue.name.endswith(".dead")
    with connection.channel() as channel:
        try:
            # On Redis, an empty queue does not exist, and declaring one writes nothing.
            found: Any = queue(channel).queue_declare(passive=rabbitmq)
        except connection.channel_errors:
            return warning(subject, "does not exist yet", "the first worker that starts creates it")
    waiting, consumers = int(found.message_count), int(found.consumer_count)
    if dead:
        if waiting:
            return warning(
                subject,
                f"{counted(waiting, 'message')} that no worker could process",
                "look at them, then purge the queue",
            )
        return ok(subject, "empty")
    seen = f"waiting: {counted(waiting, 'message')}" + (f", {counted(consumers, 'consumer')}" if rabbitmq else "")
    if rabbitmq and not consumers:
        return failed(subject, seen, "no worker reads it: start one (edw worker), with the same EDW_BROKER_URL")
    if waiting > QUEUE_PATIENCE:
        return warning(subject, seen, "workers do not keep up: add some")
    return ok(subject, seen)
