"""Ways to send what nobody should: at a pace, or by clients that hold a connection for as long as they can."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

from tests.benchmarks.attacks.target import HOST

#: What came of each request or connection, and how often.
Tally = Counter[str]
#: Sends the request or message of a number; answers what came of it.
Send = Callable[[int], Awaitable[str]]
#: Holds one connection until it is closed.
Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

#: An answer is waited for this long (seconds).
ANSWER_SECONDS = 20.0
#: A client that lost its connection connects again after this long (seconds).
AGAIN_SECONDS = 1.0


async def pace(send: Send, per_second: float, at_once: int, seconds: float) -> Tally:
    """Send so many a second, for so long; while `at_once` are unanswered, no further one."""
    loop, tally, open_ = asyncio.get_running_loop(), Tally(), asyncio.Semaphore(at_once)
    began = loop.time()

    async def one(number: int) -> None:
        try:
            tally[await send(number)] += 1
        finally:
            open_.release()

    async with asyncio.TaskGroup() as group:
        for number in range(int(per_second * seconds)):
            await asyncio.sleep(began + number / per_second - loop.time())
            await open_.acquire()
            if loop.time() - began >= seconds:
                break
            group.create_task(one(number))
    return tally


async def exchange(port: int, raw: bytes) -> str:
    """Send a request; answer the status, or what came in its place."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                # An answer may come before the body has gone.
                writer.write(raw)
                line = await reader.readline()
            finally:
                writer.transport.abort()
    except TimeoutError:
        return "unanswered"
    except OSError:
        return "closed"
    return line.split(b" ")[1].decode() if line.startswith(b"HTTP/") else "closed"


async def crowd(port: int, behaviours: list[Behave], clients: int, per_second: float, seconds: float) -> Tally:
    """So many clients, `per_second` of which begin each second; answers how many connections were made, and lost."""
    tally = Tally()

    async def client(behave: Behave) -> None:
        while True:
            with suppress(OSError):
                # A small buffer: what is not read is soon felt at the other end.
                reader, writer = await asyncio.open_connection(HOST, port, limit=1024)
                tally["connected"] += 1
                try:
                    await behave(reader, writer)
                finally:
                    writer.transport.abort()
            tally["closed by the server"] += 1
            await asyncio.sleep(AGAIN_SECONDS)

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(client(behaviours[number % len(behaviours)]))
                await asyncio.sleep(1 / per_second)
    return tally


def idling(raw: bytes = b"") -> Behave:
    """Sends a part of a request, or nothing, and waits."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        while await reader.read(1024):
            pass

    return behave


def trickling(raw: bytes) -> Behave:
    """Sends a byte a second, and begins anew where they end."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            for byte in raw:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)

    return behave


def pipelining(raw: bytes, requests: int) -> Behave:
    """Sends many requests at once, and reads no answer."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cast(asyncio.Transport, writer.transport).pause_reading()
        writer.write(raw * requests)
        while not writer.transport.is_closing():
            # Shows whether the connection still is one.
            writer.write(raw[:1])
            await asyncio.sleep(1)

    return behave
