"""What STOMP tests need beside a broker: RabbitMQ with STOMP, a reader that is not ours, and a line that can be cut."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import stomp

from tests.counterparts.certificates import ServerFiles
from tests.counterparts.ports import free_port, listens
from tests.counterparts.rabbitmq import RabbitServer, tls_options

#: A busy broker may take its time (seconds).
PATIENCE = 30.0
#: A virtual host of RabbitMQ whose name is not plain in a URL.
VHOST = "shop/one"


class StompRabbit(RabbitServer):
    """RabbitMQ that speaks STOMP too, in the clear and over TLS."""

    def __init__(self, folder: Path) -> None:
        self.plain, self.tls = free_port(), free_port()
        self.files = ServerFiles.make(folder)
        super().__init__(
            ["rabbitmq_stomp"],
            {
                "stomp.listeners.tcp.1": f"127.0.0.1:{self.plain}",
                "stomp.listeners.ssl.1": f"127.0.0.1:{self.tls}",
                **tls_options(self.files),
            },
            [VHOST],
        )

    def _answers(self) -> bool:
        return super()._answers() and listens(self.plain) and listens(self.tls)


@dataclass(frozen=True, slots=True)
class Message:
    """What a consumer gets."""

    headers: Mapping[str, str]
    body: str


class _Listener(stomp.ConnectionListener):  # type: ignore[misc]  # stomp.py has no types
    def __init__(self) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()
        self.errors: list[str] = []

    def on_message(self, frame: Any) -> None:
        self.messages.put(Message(dict(frame.headers), frame.body))

    def on_error(self, frame: Any) -> None:
        self.errors.append(f"{frame.headers} {frame.body}")


def read_all(
    port: int,
    destination: str,
    username: str = "tester",
    password: str = "s3cret",
    vhost: str = "/",
    selector: str | None = None,
) -> list[Message]:
    """Every message of a queue, by stomp.py's own client. Blocks.

    A last message is sent after them, and ends the reading once it is there.
    """
    listener = _Listener()
    connection = stomp.Connection12(
        [("127.0.0.1", port)],
        # It would try the loopback address in the clear first, whatever was asked for.
        prefer_localhost=False,
        try_loopback_connect=False,
        reconnect_attempts_max=1,
        vhost=vhost,
        auto_content_length=False,
    )
    connection.set_listener("", listener)
    connection.connect(username, password, wait=True)
    try:
        end = f"end-{uuid4()}"
        connection.subscribe(destination, id="1", ack="auto", selector=selector)
        connection.send(destination, end)
        found: list[Message] = []
        while True:
            try:
                message = listener.messages.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(f"the queue {destination} cannot be read: {listener.errors}") from None
            if message.body == end:
                return found
            found.append(message)
    finally:
        connection.disconnect()


class Line:
    """A port of loopback that passes everything on to a server, until it is cut; opened again, it is the same port."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        #: Connections so far.
        self.accepted = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self

    async def close(self) -> None:
        """Listen no more, and end what goes through."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """End what goes through."""
        for writer in tuple(self._writers):
            writer.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(back)
            try:
                await asyncio.gather(_pump(reader, back), _pump(there, writer))
            finally:
                self._writers.discard(back)
                back.close()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
