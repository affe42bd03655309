"""Sending of wake-ups where Redis is the broker: one command for a message, whose reply is the queue's length.

`RedisWakeupSender` is for threads, `AsyncRedisWakeupSender` for an event loop. `wakeup_sender` serves other brokers.
"""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from config.sentinel import is_sentinel
from worker.intake.wakeup_message import TASKS, WAITING_LIMIT, QueueLevel, queue_of, redis_message
from worker.intake.wakeups import BrokerUnavailable
from worker.ledger.connection.pipelined_client import PipelinedClient
from worker.ledger.connection.redis_connections import (
    SOCKET_TIMEOUT,
    aclose,
    address_of,
    async_client,
    close,
    sync_client,
    user_of,
)
from worker.ledger.ledger_errors import Server
from worker.ledger.redis_errors import FOREIGN, named


def _log() -> Any:
    # A producer's process hardly ever logs anything, and structlog takes a fifth of its import.
    import structlog

    return structlog.get_logger("edw.intake")


#: Parameters of a URL that mean the same to redis-py and to kombu; the values of `ssl_cert_reqs` are redis-py's.
_SHARED_PARAMETERS = frozenset(
    {"db", "username", "password", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"}
)
_CERT_REQS = ("none", "optional", "required")


def speaks_redis(broker_url: str) -> bool:
    """Return whether a broker is Redis under a URL that redis-py understands; Celery serves kombu's other forms."""
    if is_sentinel(broker_url):
        return True
    if ";" in broker_url or urlsplit(broker_url).scheme not in ("redis", "rediss", "unix"):
        return False
    parameters = dict(parse_qsl(urlsplit(broker_url).query, keep_blank_values=True))
    return parameters.keys() <= _SHARED_PARAMETERS and parameters.get("ssl_cert_reqs", "none") in _CERT_REQS


class _BrokerErrors:
    """Raises redis-py's exceptions in a block as BrokerUnavailable."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, FOREIGN):
            raise BrokerUnavailable(str(named(error, self._server))) from error


class _Queues:
    """The queues at a Redis broker, and what their senders share."""

    def __init__(self, url: str, shard: str, minor: Callable[[], int], limit: int) -> None:
        self._errors = _BrokerErrors(Server(address_of(url), user_of(url)))
        self._shard = shard
        self._minor = minor
        self._levels = {kind: QueueLevel(limit) for kind in TASKS}

    def _message(self, kind: str, ids: Sequence[str]) -> bytes:
        return redis_message(kind, ids, self._shard, self._minor())

    def _note(self, kind: str, waiting: int) -> None:
        level = self._levels[kind]
        if level.note(waiting, monotonic()):
            log = _log().warning if level.is_full else _log().info
            text = "wake-ups withheld" if level.is_full else "wake-ups sent again"
            log(text, queue=queue_of(kind, self._shard), waiting=waiting)

    def _is_due_to_look(self, kind: str) -> bool:
        level = self._levels[kind]
        return level.is_full and level.is_old(monotonic())


class RedisWakeupSender(_Queues):
    """Sends wake-ups from a thread to queues with fewer than `limit` waiting messages."""

    def __init__(self, url: str, shard: str, minor: Callable[[], int] = lambda: 0, limit: int = WAITING_LIMIT) -> None:
        """Send to a broker; `minor` returns the minor version that this process may write."""
        super().__init__(url, shard, minor, limit)
        self._client = sync_client(url)

    def __call__(self, kind: str, ids: Sequence[str]) -> None:
        """Send one message, or none if too many wait. Raises BrokerUnavailable if the broker fails."""
        queue = queue_of(kind, self._shard)
        with self._errors:
            if self._is_due_to_look(kind):
                self._note(kind, int(self._client.llen(queue)))
            if not self._levels[kind].is_full:
                self._note(kind, int(self._client.lpush(queue, self._message(kind, ids))))

    def close(self) -> None:
        """Close the connections."""
        close(self._client)


class AsyncRedisWakeupSender(_Queues):
    """Sends wake-ups on the running loop to queues with fewer than `limit` waiting messages."""

    def __init__(self, url: str, shard: str, minor: Callable[[], int] = lambda: 0, limit: int = WAITING_LIMIT) -> None:
        """Send to a broker; `minor` returns the minor version that this process may write."""
        super().__init__(url, shard, minor, limit)
        # For ping(), and to open the connection for wake-ups, which go one after the other.
        self._client = async_client(url, 2)
        self._calls = PipelinedClient(self._client, SOCKET_TIMEOUT)

    async def __call__(self, kind: str, ids: Sequence[str]) -> None:
        """Send one message, or none if too many wait. Raises BrokerUnavailable if the broker fails."""
        queue = queue_of(kind, self._shard)
        with self._errors:
            if self._is_due_to_look(kind):
                self._note(kind, int(await self._calls.call(b"LLEN", queue)))
            if not self._levels[kind].is_full:
                self._note(kind, int(await self._calls.call(b"LPUSH", queue, self._message(kind, ids))))

    async def ping(self) -> None:
        """Check that the broker answers. Raises BrokerUnavailable."""
        with self._errors:
            await self._client.ping()

    async def close(self) -> None:
        """Close the connections."""
        await self._calls.close()
        await aclose(self._client)
