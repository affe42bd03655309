"""Connections that redis-py opens, and that another protocol then uses.

redis-py knows how: addresses, Sentinels, TLS, the login and the number of the database.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from redis.exceptions import ConnectionError as Disconnected


@dataclass(frozen=True, slots=True)
class OpenedConnection:
    """A connection to a server that has accepted the login."""

    transport: asyncio.Transport
    #: redis-py's streams. A StreamWriter that is forgotten closes its transport, so they live as long as that does.
    streams: tuple[Any, Any]


async def open_connection(client: redis.asyncio.Redis, protocol: asyncio.Protocol) -> OpenedConnection:
    """Open one more connection to the server of a client, and have `protocol` receive all that arrives from now on.

    The protocol's connection_made() is not called. Raises exceptions of redis-py.
    """
    connection = client.connection_pool.make_connection()
    try:
        await connection.connect()
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    # redis-py has no public way to hand a connection on.
    reader, writer = connection._reader, connection._writer
    connection._reader = connection._writer = None
    transport = writer.transport
    # Nothing was asked that is unanswered: bytes would shift all replies that follow.
    if transport.is_closing() or reader.at_eof() or reader._buffer:
        transport.abort()
        raise Disconnected("the connection was closed after the login")
    transport.set_protocol(protocol)
    return OpenedConnection(transport, (reader, writer))
