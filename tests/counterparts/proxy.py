"""Two small proxies: of HTTP (RFC 9110, section 3.7: CONNECT and absolute URLs, maybe with a password), and of TCP."""

import asyncio
import socket
import struct
from abc import ABC, abstractmethod
from base64 import b64encode
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Proxy(ABC):
    """Listens on loopback for as long as its block runs, and then ends every line that it leads."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._lines: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @abstractmethod
    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connects a caller with its destination."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._lines:
            task.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._lines[task] = writer
        try:
            with suppress(asyncio.CancelledError):
                await self._forward(reader, writer)
        finally:
            del self._lines[task]
            writer.close()


class HttpProxy(Proxy):
    """Forwards to wherever it is asked; `asked` has the targets, `refuse` makes it answer 403."""

    def __init__(self, password: str = "") -> None:
        super().__init__()
        self._password = password
        self.asked: list[str] = []
        self.refuse = False

    @property
    def url(self) -> str:
        login = f"user:{self._password}@" if self._password else ""
        return f"http://{login}127.0.0.1:{self.port}"

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        self.asked.append(target)
        login = b64encode(f"user:{self._password}".encode())
        if self._password and b"Proxy-Authorization: Basic " + login not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        if self.refuse:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        where = urlsplit(f"//{target}" if method == "CONNECT" else target)
        there, out = await asyncio.open_connection(where.hostname, where.port)
        try:
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                # What is meant for the proxy ends with it (RFC 9110, section 7.6.1).
                kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"proxy-")]
                out.write(b"\r\n".join(kept))
            await asyncio.gather(_pump(reader, out), _pump(there, writer))
        finally:
            out.close()


class TcpProxy(Proxy):
    """Leads to a port of loopback. `resetting` makes it reset new connections; reset() those who are connected."""

    def __init__(self, port: int) -> None:
        super().__init__()
        #: Where new connections lead to.
        self.to = port
        self.resetting = False

    def reset(self) -> None:
        """As a firewall that has forgotten its connections: both sides would say much more, and may not."""
        for writer in self._lines.values():
            _reset(writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.resetting:
            _reset(writer)
            return
        with suppress(OSError):
            there, out = await asyncio.open_connection("127.0.0.1", self.to)
            try:
                await asyncio.gather(_pump(reader, out), _pump(there, writer))
            finally:
                out.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    # A socket that is closed without lingering sends a reset. One that is closed already has nobody to notify.
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while content := await source.read(65536):
            sink.write(content)
            await sink.drain()
    sink.close()
