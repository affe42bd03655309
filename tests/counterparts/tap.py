"""A line between a client and a server on loopback, which counts what is asked and can be cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self


class Tap:
    """Passes bytes on both ways; `asked` counts where `mark` was in what a client sent."""

    def __init__(self, port: int, mark: bytes = b"AmazonSQS.SendMessageBatch") -> None:
        self._to = port
        self._mark = mark
        self._server: asyncio.Server | None = None
        self._busy: set[asyncio.Task[None]] = set()
        self.asked = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Listens no more, and cuts every connection."""
        if self._server is None:
            return
        self._server.close()
        for task in self._busy:
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        there: asyncio.StreamWriter | None = None
        try:
            with suppress(asyncio.CancelledError, OSError):
                back, there = await asyncio.open_connection("127.0.0.1", self._to)
                await asyncio.gather(self._count(reader, there), _pass(back, writer))
        finally:
            self._busy.discard(task)
            writer.close()
            if there is not None:
                there.close()

    async def _count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tail = b""
        with suppress(ConnectionError):
            while content := await reader.read(65536):
                seen = tail + content
                self.asked += seen.count(self._mark)
                # A mark may be in two pieces, and never twice in one piece's end.
                tail = seen[-len(self._mark) + 1 :]
                writer.write(content)
                await writer.drain()
        writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    writer.close()
