"""The client for frequent calls: one pipelined connection, opened again when it was lost."""

import asyncio
from typing import Any

import redis.asyncio

from deliverers.backoff import Backoff
from worker.ledger.connection.handshake import open_connection
from worker.ledger.connection.pipelined_connection import PipelinedConnection, Word

#: Pauses between failed tries to open the connection (seconds). A call waits for them, so that a Redis that is away
#: is not asked by every call.
BACKOFF = Backoff(first=0.01, longest=0.25)


class PipelinedClient:
    """Calls over one connection to the server of a redis-py client, which opens it.

    Args:
        client: The client; it must live longer than this one.
        timeout: How long a call waits for its reply (seconds).
    """

    def __init__(self, client: redis.asyncio.Redis, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._connection: PipelinedConnection | None = None
        # Connections that get no further call, and may still have replies to come.
        self._older: list[PipelinedConnection] = []
        self._opening: asyncio.Task[PipelinedConnection] | None = None
        self._failures = 0
        self._not_before = 0.0

    async def call(self, *words: Word) -> Any:
        """Send a command and return its reply. Raises exceptions of redis-py; a call is never repeated."""
        connection = self._connection
        if connection is None or not connection.usable or connection.loop is not asyncio.get_running_loop():
            connection = await self._opened()
        return await connection.send(words)

    async def close(self) -> None:
        """Close the connection. A later call opens another one."""
        if (opening := self._opening) is not None:
            opening.cancel()
            await asyncio.wait([opening])
        connections, self._connection, self._older = [self._connection, *self._older], None, []
        for connection in connections:
            if connection is not None and connection.loop is asyncio.get_running_loop():
                await connection.close()

    async def _opened(self) -> PipelinedConnection:
        """Return a new connection, which all calls share that wait for one."""
        if self._opening is None or self._opening.get_loop() is not asyncio.get_running_loop():
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(self._note)
        # A cancelled caller leaves it to the others.
        return await asyncio.shield(self._opening)

    async def _open(self) -> PipelinedConnection:
        loop = asyncio.get_running_loop()
        if (pause := self._not_before - loop.time()) > 0 and self._failures:
            await asyncio.sleep(min(pause, BACKOFF.longest))
        connection = PipelinedConnection(self._timeout)
        connection.opened(await open_connection(self._client, connection))
        return connection

    def _note(self, opening: "asyncio.Task[PipelinedConnection]") -> None:
        if self._opening is opening:
            self._opening = None
        if opening.cancelled():
            return
        if opening.exception() is None:
            if self._connection is not None:
                self._older = [each for each in (*self._older, self._connection) if not each.closed]
            self._connection, self._failures = opening.result(), 0
        else:
            self._failures += 1
            self._not_before = opening.get_loop().time() + BACKOFF.pause(self._failures)
