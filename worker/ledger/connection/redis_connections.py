"""Clients of Redis by URL: of one server, or of the current master that the Sentinels name.

No client repeats a call. If a reply is lost, only the caller can decide whether to call again.
"""

from typing import Any
from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
import redis.asyncio.connection as async_connection
import redis.asyncio.sentinel as async_sentinel
import redis.connection
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ReadOnlyError
from redis.retry import Retry

from config.sentinel import SentinelUrl, is_sentinel

#: A server that does not answer for this long counts as unavailable (seconds).
SOCKET_TIMEOUT = 5.0
CONNECT_TIMEOUT = 2.0
#: A Sentinel that does not answer for this long is skipped (seconds).
SENTINEL_TIMEOUT = 1.0
_DEMOTED = "it is a replica now"


def address_of(url: str) -> str:
    """Return the address of Redis, without a password."""
    if is_sentinel(url):
        return SentinelUrl.parse(url).address
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or 6379}"


def user_of(url: str) -> str:
    """Return the user in a URL of Redis, else `default`."""
    named = SentinelUrl.parse(url).username if is_sentinel(url) else unquote(urlsplit(url).username or "")
    return named or "default"


def async_client(url: str, connections: int, timeout: float = SOCKET_TIMEOUT) -> redis.asyncio.Redis:
    """Return an asynchronous client.

    Args:
        url: The URL of Redis, or of Sentinels.
        connections: The most connections; further calls wait for a free one.
        timeout: How long a call waits for a connection, and how long for an answer (seconds).
    """
    options = _options(timeout) | {
        "retry": AsyncRetry(NoBackoff(), 0),
        "max_connections": connections,
        "timeout": timeout,
    }
    if is_sentinel(url):
        named = SentinelUrl.parse(url)
        sentinels = async_sentinel.Sentinel(named.sentinels, sentinel_kwargs=_of_sentinels(named, AsyncRetry))
        options |= {"connection_class": _AsyncOfSentinels, **_login(named)}
        # redis-py annotates from_pool() only in part.
        return redis.asyncio.Redis.from_pool(_MasterPool(named.service, sentinels, **options))  # type: ignore[no-untyped-call]
    pool = redis.asyncio.BlockingConnectionPool.from_url(url, **options)
    pool.connection_class = _ASYNC_HEALING[pool.connection_class]
    return redis.asyncio.Redis.from_pool(pool)


async def aclose(client: redis.asyncio.Redis) -> None:
    """Close a client of async_client(), and its connections to the Sentinels."""
    await client.aclose()
    if isinstance(client.connection_pool, _MasterPool):
        await client.connection_pool.sentinel_manager.aclose()


def sync_client(url: str, timeout: float = SOCKET_TIMEOUT) -> redis.Redis:
    """Return a client for callers without an event loop."""
    options = _options(timeout) | {"retry": Retry(NoBackoff(), 0)}
    if is_sentinel(url):
        named = SentinelUrl.parse(url)
        sentinels = redis.sentinel.Sentinel(named.sentinels, sentinel_kwargs=_of_sentinels(named, Retry))
        client: redis.Redis = sentinels.master_for(named.service, **options, **_login(named))
        return client
    pool = redis.ConnectionPool.from_url(url, **options)
    pool.connection_class = _HEALING.get(pool.connection_class, pool.connection_class)
    return redis.Redis.from_pool(pool)


def close(client: redis.Redis) -> None:
    """Close a client of sync_client(), and its connections to the Sentinels."""
    client.close()
    if isinstance(client.connection_pool, redis.sentinel.SentinelConnectionPool):
        client.connection_pool.sentinel_manager.close()


def _options(timeout: float) -> dict[str, Any]:
    return {"socket_timeout": timeout, "socket_connect_timeout": CONNECT_TIMEOUT}


def _login(named: SentinelUrl) -> dict[str, Any]:
    return {"db": named.db, "username": named.username or None, "password": named.password or None}


def _of_sentinels(named: SentinelUrl, retry: type[Any]) -> dict[str, Any]:
    patience = {"socket_timeout": SENTINEL_TIMEOUT, "socket_connect_timeout": SENTINEL_TIMEOUT}
    # A Sentinel that does not answer is not asked again; the next one is.
    return {**patience, "retry": retry(NoBackoff(), 0), **named.sentinel_login}


class _MasterPool(async_sentinel.SentinelConnectionPool, redis.asyncio.BlockingConnectionPool):
    """A pool of connections to the current master; a call waits if all are busy."""


class _AsyncHealing:
    """A connection that counts as lost as soon as it is useless, so that the next call opens a new one."""

    async def send_packed_command(self, *args: Any, **how: Any) -> None:
        try:
            await super().send_packed_command(*args, **how)  # type: ignore[misc]  # a connection's
        except RuntimeError as error:
            # uvloop raises a RuntimeError for a transport that was just closed; asyncio raises an OSError.
            if "closed" not in str(error):
                raise
            raise Disconnected("the connection was closed") from error

    async def read_response(self, *args: Any, **how: Any) -> Any:
        try:
            return await super().read_response(*args, **how)  # type: ignore[misc]  # a connection's
        except ReadOnlyError as error:
            # A new connection to the same address may reach the master.
            await self.disconnect()  # type: ignore[attr-defined]  # a connection's
            raise Disconnected(_DEMOTED) from error


class _AsyncTcp(_AsyncHealing, async_connection.Connection):
    pass


class _AsyncTls(_AsyncHealing, async_connection.SSLConnection):
    pass


class _AsyncUnix(_AsyncHealing, async_connection.UnixDomainSocketConnection):
    pass


class _AsyncOfSentinels(_AsyncHealing, async_sentinel.SentinelManagedConnection):
    pass


class _Healing:
    """The same for synchronous connections. redis-py itself does this for connections that Sentinels manage."""

    def read_response(self, *args: Any, **how: Any) -> Any:
        try:
            return super().read_response(*args, **how)  # type: ignore[misc]  # a connection's
        except ReadOnlyError as error:
            self.disconnect()  # type: ignore[attr-defined]  # a connection's
            raise Disconnected(_DEMOTED) from error


class _Tcp(_Healing, redis.connection.Connection):
    pass


class _Tls(_Healing, redis.connection.SSLConnection):
    pass


_ASYNC_HEALING: dict[type[Any], type[Any]] = {
    async_connection.Connection: _AsyncTcp,
    async_connection.SSLConnection: _AsyncTls,
    async_connection.UnixDomainSocketConnection: _AsyncUnix,
}
_HEALING: dict[type[Any], type[Any]] = {
    redis.connection.Connection: _Tcp,
    redis.connection.SSLConnection: _Tls,
}
