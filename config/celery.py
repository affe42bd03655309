"""The configuration of Celery. Its messages are wake-ups: losing, doubling or delaying one loses no job."""

from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from kombu.entity import Exchange, Queue

from config.amqp_tls import amqp_tls
from config.sentinel import SentinelUrl, is_sentinel
from config.settings import Settings

EVENTS_QUEUE = "edw.events"
DELIVERIES_QUEUE = "edw.deliveries"
#: The plain queue, for producers of any language; Celery does not read it.
INTAKE_QUEUE = "edw.intake"
OBSERVE_TASK = "worker.tasks.observe"
DELIVER_TASK = "worker.tasks.deliver"

#: A broker that says nothing for so long is taken for dead (seconds).
BROKER_TIMEOUT = 5.0
CONNECT_TIMEOUT = 2.0
#: A Sentinel that says nothing for so long is passed over (seconds).
SENTINEL_TIMEOUT = 1.0
#: Tasks take milliseconds; a message that is unacknowledged for so long goes to another worker (seconds, Redis only).
VISIBILITY_TIMEOUT = 120
#: A message that came back so often is set aside: whoever reads it dies. What is merely bad never comes back. RabbitMQ
#: moves it to a queue for the dead; on Redis, the ledger counts how often a task came back.
DELIVERY_LIMIT = 20
_QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}
#: A RabbitMQ that has been silent for so long has its connections closed (seconds).
HEARTBEAT = 30


def celery_options(settings: Settings, broker_url: str) -> dict[str, Any]:
    """Celery's configuration, for a broker named as Celery or as redis-py names it."""
    rabbitmq = is_rabbitmq(broker_url)
    url, tls = amqp_tls(broker_url)
    return {
        "broker_url": broker_url_for(url),
        "broker_use_ssl": tls,
        **_messages(),
        **_queues(settings.shard, quorum=rabbitmq),
        **_worker(settings),
        "broker_connection_timeout": CONNECT_TIMEOUT,
        "broker_connection_retry_on_startup": True,
        # For ever: the sweeps deliver meanwhile, and the worker takes messages again when the broker is back.
        "broker_connection_max_retries": None,
        # An answer such as "out of memory" or "loading" is Redis' trouble, and no reason to end the worker.
        "broker_channel_error_retry": True,
        "broker_heartbeat": HEARTBEAT,
        # One for each thread that may publish: the pool's and the one that sends wake-ups.
        "broker_pool_limit": settings.celery_threads + 1,
        "broker_transport_options": _transport_options(broker_url, settings.shard),
    }


def is_rabbitmq(broker_url: str) -> bool:
    """True for a broker that is spoken to by AMQP."""
    return urlsplit(broker_url).scheme in ("amqp", "amqps", "pyamqp")


def queue_name(name: str, shard: str) -> str:
    """A shard's queue. Another one than "0" has its name behind (`edw.intake.eu-1`): they may share a broker."""
    return name if shard == "0" else f"{name}.{shard}"


def intake_queues(shard: str) -> tuple[Queue, Queue]:
    """The plain queue on RabbitMQ, and the one for what could not be taken from it; any client reaches both by name."""
    name = queue_name(INTAKE_QUEUE, shard)
    dead = dead_queue(name)
    # Of the default exchange, to which every queue is bound by its own name.
    queue = Queue(name, Exchange(""), routing_key=name, durable=True, queue_arguments=_quorum(dead.name))
    return queue, dead


def dead_queue(name: str) -> Queue:
    """Where RabbitMQ keeps what could not be taken from a queue."""
    name = f"{name}.dead"
    return Queue(name, Exchange(""), routing_key=name, durable=True, queue_arguments=_QUORUM)


def _quorum(dead: str | None) -> dict[str, Any]:
    """A quorum queue that gives a message up when it came back too often: to the queue `dead`, or to nobody."""
    limited = _QUORUM | {"x-delivery-limit": DELIVERY_LIMIT}
    return limited if dead is None else limited | {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}


def _messages() -> dict[str, Any]:
    return {
        # JSON and nothing else, in and out: a pickle is a program.
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "enable_utc": True,
        "timezone": "UTC",
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        # Acknowledged when the work is in the ledger; repeating a task is harmless.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # Who publishes a wake-up must not wait; one that is not sent is announced again.
        "task_publish_retry": False,
        "task_send_sent_event": False,
    }


def _queues(shard: str, *, quorum: bool) -> dict[str, Any]:
    events, deliveries = queue_name(EVENTS_QUEUE, shard), queue_name(DELIVERIES_QUEUE, shard)
    # Whole events may be in a message of the one, and nowhere else; one of the other is only a wake-up.
    dead = {events: dead_queue(events).name, deliveries: None}
    queues = [
        Queue(
            name,
            Exchange(name, type="direct", durable=True),
            routing_key=name,
            queue_arguments=_quorum(dead[name]) if quorum else None,
        )
        for name in dead
    ]
    # RabbitMQ confirms every message; without these two, publishing to one that is frozen has no end.
    patience = {"timeout": BROKER_TIMEOUT, "confirm_timeout": BROKER_TIMEOUT} if quorum else {}
    return {
        "task_queues": queues,
        "task_default_queue": events,
        "task_default_queue_type": "quorum" if quorum else "classic",
        "task_routes": {
            OBSERVE_TASK: {"queue": events, **patience},
            DELIVER_TASK: {"queue": deliveries, **patience},
        },
        # A task of another name, or a queue misspelt, is an error and no new queue that nobody reads.
        "task_create_missing_queues": False,
    }


def _worker(settings: Settings) -> dict[str, Any]:
    return {
        # Tasks hand their work to the process's event loop and wait: threads do, and a process has one loop.
        "worker_pool": "threads",
        "worker_concurrency": settings.celery_threads,
        # A wake-up that waits in one worker could be served by another.
        "worker_prefetch_multiplier": 1,
        # Threads cannot be cancelled; a task that runs on after its connection is lost does no harm.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Logging is config.logging's.
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": False,
    }


def _transport_options(broker_url: str, shard: str) -> dict[str, Any]:
    if is_rabbitmq(broker_url):
        return _rabbitmq_options()
    if is_sentinel(broker_url):
        return {**_redis_options(shard), **_sentinel_options(SentinelUrl.parse(broker_url))}
    return _redis_options(shard)


def _redis_options(shard: str) -> dict[str, Any]:
    return {
        "visibility_timeout": VISIBILITY_TIMEOUT,
        "socket_timeout": BROKER_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_keepalive": True,
        "health_check_interval": 10,
        # We use no priorities: BRPOP then waits on one list for each queue, and not on four.
        "priority_steps": [0],
        # Ours alone: another Celery application in the same database would restore our messages by its own timeout.
        "unacked_key": queue_name("edw.unacked", shard),
        "unacked_index_key": queue_name("edw.unacked_index", shard),
        "unacked_mutex_key": queue_name("edw.unacked_mutex", shard),
        "client_name": "edw",
    }


def _sentinel_options(url: SentinelUrl) -> dict[str, Any]:
    return {
        "master_name": url.service,
        "sentinel_kwargs": {
            "socket_timeout": SENTINEL_TIMEOUT,
            "socket_connect_timeout": SENTINEL_TIMEOUT,
            # One that is away is not asked again for seconds, as redis-py would by itself: the next one is.
            "retry": None,
            **url.sentinel_login,
        },
    }


def _rabbitmq_options() -> dict[str, Any]:
    # A message that RabbitMQ refuses is an error, and not one that is silently gone.
    return {"confirm_publish": True}


def broker_url_for(ledger_url: str) -> str:
    """A Redis URL in kombu's words; one that is not redis-py's (amqp://, redis+socket://) stays as it is.

    redis-py calls a socket `unix:///path?db=0`, kombu `redis+socket:///path?virtual_host=0`. redis-py verifies the
    server of a `rediss://` URL, and kombu only where `ssl_cert_reqs` says so. Of redis-py's other parameters kombu
    knows none but those of TLS.
    """
    if is_sentinel(ledger_url):
        return SentinelUrl.parse(ledger_url).kombu_url
    parts = urlsplit(ledger_url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "unix":
        who = quote(unquote(parts.username or query.get("username", "")), safe="")
        word = quote(unquote(parts.password or query.get("password", "")), safe="")
        login = f"{who}:{word}@" if who or word else ""
        return f"redis+socket://{login}{parts.path}?virtual_host={query.get('db', '0')}"
    if parts.scheme not in ("redis", "rediss"):
        return ledger_url
    tls = {name: value for name, value in query.items() if name.startswith("ssl_")}
    if parts.scheme == "rediss":
        tls.setdefault("ssl_cert_reqs", "required")
    path = f"/{query['db']}" if "db" in query else parts.path
    return parts._replace(path=path, query=urlencode(tls)).geturl()
