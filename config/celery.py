"""The configuration of Celery. Its messages are wake-ups: a lost, doubled or late one loses no job.

Importing this module does not import kombu: producers and the API need only the names in it if Redis is the broker.
"""

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from config.amqp_tls import amqp_tls
from config.sentinel import SentinelUrl, is_sentinel
from config.settings import Settings

if TYPE_CHECKING:
    from kombu.entity import Queue

EVENTS_QUEUE = "edw.events"
DELIVERIES_QUEUE = "edw.deliveries"
#: The plain queue, for producers in any language; Celery does not read it.
INTAKE_QUEUE = "edw.intake"
OBSERVE_TASK = "worker.tasks.observe"
DELIVER_TASK = "worker.tasks.deliver"

#: Seconds of silence after which a broker counts as dead.
BROKER_TIMEOUT = 5.0
CONNECT_TIMEOUT = 2.0
#: Seconds of silence after which the next Sentinel is asked.
SENTINEL_TIMEOUT = 1.0
#: Seconds after which an unacknowledged message goes to another worker (Redis only). Tasks take milliseconds.
VISIBILITY_TIMEOUT = 120
#: A message that was redelivered this often is set aside: it kills each worker that reads it. A message that is merely
#: malformed is never redelivered. RabbitMQ moves the message to a dead-letter queue; on Redis, the ledger counts the
#: redeliveries of a task.
DELIVERY_LIMIT = 20
_QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}
#: Seconds of silence after which a connection to RabbitMQ is closed.
HEARTBEAT = 30


def celery_options(settings: Settings, broker_url: str) -> dict[str, Any]:
    """Return Celery's configuration for a broker URL, in Celery's or redis-py's notation."""
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
        # No limit: the sweeps deliver meanwhile, and the worker takes messages again once the broker is back.
        "broker_connection_max_retries": None,
        # An answer such as "out of memory" or "loading" is a problem of Redis, and no reason to stop the worker.
        "broker_channel_error_retry": True,
        "broker_heartbeat": HEARTBEAT,
        # One connection for each thread that may publish: those of the pool, and the one that sends wake-ups.
        "broker_pool_limit": settings.celery_threads + 1,
        "broker_transport_options": _transport_options(broker_url, settings.shard),
    }


def is_rabbitmq(broker_url: str) -> bool:
    """Return whether the broker speaks AMQP."""
    return urlsplit(broker_url).scheme in ("amqp", "amqps", "pyamqp")


def queue_name(name: str, shard: str) -> str:
    """Return the name of a shard's queue: shards other than "0" append their own, as in `edw.intake.eu-1`.

    Several shards may therefore share a broker.
    """
    return name if shard == "0" else f"{name}.{shard}"


def intake_queues(shard: str) -> "tuple[Queue, Queue]":
    """Return the plain queue on RabbitMQ and its dead-letter queue.

    Both hang on the default exchange, so any client reaches them by name.
    """
    from kombu.entity import Exchange, Queue

    name = queue_name(INTAKE_QUEUE, shard)
    dead = dead_queue(name)
    # RabbitMQ binds every queue to the default exchange by the queue's own name.
    queue = Queue(name, Exchange(""), routing_key=name, durable=True, queue_arguments=_quorum(dead.name))
    return queue, dead


def dead_queue(name: str) -> "Queue":
    """Return the queue where RabbitMQ keeps messages that could not be taken from the queue `name`."""
    from kombu.entity import Exchange, Queue

    name = f"{name}.dead"
    return Queue(name, Exchange(""), routing_key=name, durable=True, queue_arguments=_QUORUM)


def _quorum(dead: str | None) -> dict[str, Any]:
    """Return the arguments of a quorum queue with a delivery limit.

    A message over the limit moves to the queue `dead`; without `dead`, RabbitMQ drops it.
    """
    limited = _QUORUM | {"x-delivery-limit": DELIVERY_LIMIT}
    return limited if dead is None else limited | {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}


def _messages() -> dict[str, Any]:
    return {
        # JSON only, in and out: unpickling runs code.
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "enable_utc": True,
        "timezone": "UTC",
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        # A message is acknowledged once its work is in the ledger; repeating a task is harmless.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # The publisher of a wake-up must not wait; a wake-up that was not sent is announced again.
        "task_publish_retry": False,
        "task_send_sent_event": False,
    }


def _queues(shard: str, *, quorum: bool) -> dict[str, Any]:
    from kombu.entity import Exchange, Queue

    events, deliveries = queue_name(EVENTS_QUEUE, shard), queue_name(DELIVERIES_QUEUE, shard)
    # A message of the events queue may hold whole events that exist nowhere else; one of the deliveries queue is a mere
    # wake-up, so it needs no dead-letter queue.
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
    # RabbitMQ confirms every message. Without these timeouts, publishing to a frozen RabbitMQ would never end.
    patience = {"timeout": BROKER_TIMEOUT, "confirm_timeout": BROKER_TIMEOUT} if quorum else {}
    return {
        "task_queues": queues,
        "task_default_queue": events,
        "task_default_queue_type": "quorum" if quorum else "classic",
        "task_routes": {
            OBSERVE_TASK: {"queue": events, **patience},
            DELIVER_TASK: {"queue": deliveries, **patience},
        },
        # An unknown task or a misspelt queue raises an error; it must not create a queue that nobody reads.
        "task_create_missing_queues": False,
    }


def _worker(settings: Settings) -> dict[str, Any]:
    return {
        # A task hands its work to the process's event loop and waits. This needs threads: a process has one loop.
        "worker_pool": "threads",
        "worker_concurrency": settings.celery_threads,
        # A wake-up that waits in one worker could be served by another.
        "worker_prefetch_multiplier": 1,
        # Threads cannot be cancelled; a task that continues after its connection was lost does no harm.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # config.logging configures all logging.
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
        # We use no priorities, so BRPOP waits on one list for each queue instead of four.
        "priority_steps": [0],
        # Keys of our own: another Celery application in the same database would restore our messages by its own
        # timeout.
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
            # redis-py by itself would ask an unreachable Sentinel again for seconds; without retries it asks the next
            # one.
            "retry": None,
            **url.sentinel_login,
        },
    }


def _rabbitmq_options() -> dict[str, Any]:
    # A message that RabbitMQ refuses raises an error; without confirmation it would vanish silently.
    return {"confirm_publish": True}


def broker_url_for(ledger_url: str) -> str:
    """Convert a Redis URL from redis-py's notation to kombu's.

    redis-py writes a socket as `unix:///path?db=0`, kombu as `redis+socket:///path?virtual_host=0`. redis-py verifies
    the server of a `rediss://` URL by default; kombu does so only with `ssl_cert_reqs`. Of redis-py's other
    parameters, kombu knows only those of TLS. A URL that is not redis-py's (amqp://, redis+socket://) is returned
    unchanged.
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
