"""The broker: whether it answers, and whether somebody takes from its queues."""

from collections.abc import Iterator
from typing import Any

from kombu.connection import Connection
from kombu.entity import Queue

from config.celery import celery_options, intake_queues, is_rabbitmq
from config.settings import Settings
from worker.cli.diagnose import Finding, failed, ok, warning
from worker.domain.format import counted

#: Wake-ups are taken within milliseconds: so many that wait are taken by nobody.
QUEUE_PATIENCE = 1_000


def examine(settings: Settings, broker_url: str) -> Iterator[Finding]:
    """Connects, and asks for each queue. Blocks for as long as the broker's timeouts."""
    options = celery_options(settings, broker_url)
    connection = Connection(
        options["broker_url"],
        connect_timeout=options["broker_connection_timeout"],
        transport_options=options["broker_transport_options"],
        ssl=options["broker_use_ssl"],
    )
    # kombu writes a password that is none, too.
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
    except Exception as error:  # noqa: BLE001  (whatever a broker's client raises)
        advice = "look at its log, and at EDW_BROKER_URL; while Redis answers, deliveries continue, up to seconds later"
        yield failed("broker", f"{where} does not answer: {type(error).__name__}: {error}", advice)
    finally:
        connection.release()


def _queue(connection: Connection, queue: Queue, *, rabbitmq: bool) -> Finding:
    subject = f"queue {queue.name}"
    dead = queue.name.endswith(".dead")
    with connection.channel() as channel:
        try:
            # On Redis a queue that is empty is not there, and declaring one writes nothing.
            found: Any = queue(channel).queue_declare(passive=rabbitmq)
        except connection.channel_errors:
            return warning(subject, "is not there", "the first worker that starts makes it")
    waiting, consumers = int(found.message_count), int(found.consumer_count)
    if dead:
        if waiting:
            return warning(
                subject, f"{counted(waiting, 'message')} that nobody could take", "look at them, and purge it"
            )
        return ok(subject, "empty")
    seen = f"waiting: {counted(waiting, 'message')}" + (f", {counted(consumers, 'consumer')}" if rabbitmq else "")
    if rabbitmq and not consumers:
        return failed(subject, seen, "no worker reads it: start one (edw worker), with the same EDW_BROKER_URL")
    if waiting > QUEUE_PATIENCE:
        return warning(subject, seen, "workers do not keep up: add some")
    return ok(subject, seen)
