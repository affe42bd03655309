"""STOMP brokers for the tests: the real ones behind a line, and scripted ones for what no real one does."""

from __future__ import annotations

import asyncio
import json
import re
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from deliverers.contract import DelivererOptions, Delivery
from deliverers.stomp import StompDeliverer
from deliverers.testing import LOOPBACK, Counterpart, a_delivery
from tests.counterparts import activemq, rabbitmq
from tests.counterparts.activemq import ActiveServer
from tests.counterparts.certificates import ServerFiles
from tests.counterparts.stomp import Line, Message, StompRabbit, read_all

from .receivers import Script

CONNECTED = b"CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0"


class BrokerCounterpart(Counterpart):
    """A queue of a test's own at a real broker, through a line that can be closed while the broker lives on."""

    username, password = "tester", "s3cret"
    files: ServerFiles
    plain: int

    def __init__(self, line: Line, tls: bool) -> None:
        self.line = line
        self.destination = f"/queue/test.{uuid4()}"
        self.address = f"stomp+ssl://localhost:{line.port}" if tls else f"stomp://127.0.0.1:{line.port}"
        self.configuration = {
            "username": self.username,
            "password": self.password,
            "destination": self.destination,
            "addresses": [self.address],
        }
        self.secrets = (self.password,)
        self.tls_ca_file = str(self.files.ca)
        self._read: list[Message] = []

    async def messages(self) -> list[Message]:
        """Every message so far, as stomp.py's client has it."""
        self._read += await asyncio.to_thread(read_all, self.plain, self.destination, self.username, self.password)
        return self._read

    async def received(self) -> list[Mapping[str, Any]]:
        return [json.loads(message.body) for message in await self.messages()]

    async def stop(self) -> None:
        await self.line.close()

    @abstractmethod
    async def restore(self) -> None:
        """Make the broker what it was."""


class ActiveCounterpart(BrokerCounterpart):
    def __init__(self, server: ActiveServer, line: Line, tls: bool) -> None:
        self.server, self.files, self.plain = server, server.files, server.plain
        super().__init__(line, tls)

    def refuse(self) -> None:
        self.server.allow(activemq.USERS, writers=False)

    def fall_silent(self) -> None:
        self.server.freeze()

    async def restore(self) -> None:
        self.server.thaw()
        self.server.allow(activemq.USERS)


class RabbitCounterpart(BrokerCounterpart):
    username, password = rabbitmq.USER, rabbitmq.PASSWORD

    def __init__(self, server: StompRabbit, line: Line, tls: bool) -> None:
        self.server, self.files, self.plain = server, server.files, server.plain
        self._changed = False
        super().__init__(line, tls)

    def refuse(self) -> None:
        # What it does not permit it answers by ending the connection; what it refuses is a login.
        self.server.control("change_password", self.username, "another")
        self._changed = True

    def fall_silent(self) -> None:
        self.server.freeze()

    async def restore(self) -> None:
        self.server.thaw()
        if self._changed:
            self.server.control("change_password", self.username, self.password)


@asynccontextmanager
async def opened(**changes: Any) -> AsyncIterator[StompDeliverer]:
    """A deliverer that may reach loopback."""
    deliverer = StompDeliverer(DelivererOptions(**{"egress": LOOPBACK, **changes}))
    await deliverer.open()
    try:
        yield deliverer
    finally:
        await deliverer.close()


def delivery_to(*addresses: str | int, number: int = 1, **configuration: Any) -> Delivery:
    """A delivery to addresses, or ports of loopback."""
    given = [each if isinstance(each, str) else f"stomp://127.0.0.1:{each}" for each in addresses]
    complete = {"destination": "/queue/test.a", "addresses": given, **configuration}
    return a_delivery(StompDeliverer, complete, event_id=f"event-{number}", job_id=f"job-{number}")


@dataclass(frozen=True, slots=True)
class Sent:
    """A frame that a scripted broker read, by a reading of its own."""

    command: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def receipt(self) -> bytes:
        return self.headers["receipt"].encode()


async def read_frame(reader: asyncio.StreamReader) -> Sent:
    """Read one frame without a content-length."""
    raw = (await reader.readuntil(b"\0"))[:-1].lstrip(b"\n")
    head, _, body = raw.partition(b"\n\n")
    command, *lines = head.decode().split("\n")
    return Sent(command, dict(line.split(":", 1) for line in lines), body)


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, greeting: bytes = CONNECTED) -> Sent:
    """Let somebody in."""
    sent = await read_frame(reader)
    assert sent.command == "CONNECT"
    writer.write(greeting)
    return sent


def receipt(sent: Sent) -> bytes:
    return b"RECEIPT\nreceipt-id:%s\n\n\0" % sent.receipt


def error(message: str, sent: Sent | None = None, body: str = "") -> bytes:
    of = b"receipt-id:%s\n" % sent.receipt if sent else b""
    return b"ERROR\nmessage:%s\n%s\n%s\0" % (message.encode(), of, body.encode())


def answering(answer: Callable[[Sent], bytes | None], greeting: bytes = CONNECTED) -> Script:
    """A broker that lets everybody in, and answers each frame as a test asks; with `None` it leaves."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer, greeting)
        while (sent := await read_frame(reader)).command == "SEND":
            if (said := answer(sent)) is None:
                return
            writer.write(said)

    return script


def once_each(*scripts: Script) -> Script:
    """A broker that treats its first connection by the first script, and so on; the last one goes on."""
    turns = iter(scripts)
    last = scripts[-1]

    def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Awaitable[None]:
        return next(turns, last)(reader, writer)

    return script


def number_of(sent: Sent) -> int:
    """Which delivery of `delivery_to` it is."""
    found = re.fullmatch(r"event-(\d+)", sent.headers["event_id"])
    assert found
    return int(found.group(1))
