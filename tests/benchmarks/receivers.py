"""Receivers good and bad, in a process of their own: the path says what becomes of a request.

    /notes/…     answered at once, and its arrival is kept
    /takes/…     answered at once
    /pauses/MS   answered after so many milliseconds, and its arrival is kept
    /slow/…      answered after 9 s
    /hangs/…     never answered
    /refuses/…   answered with 500

Run as a module it serves on loopback, says its port, and then answers the lines that it is sent:

    arrivals SINCE TILL    JSON: an array [path, scheduled, late] for each event that was scheduled in that time
    noted COUNT            "noted", as soon as so many events have arrived
    repeats                the number of requests whose event had arrived before

An event's id begins with the time for which it was scheduled: nanoseconds of the monotonic clock, which all processes
of a machine share. `late` is how many nanoseconds after that it was here, for the first time. An event whose id does
not begin with a number was scheduled for the moment when it arrived.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic_ns
from typing import cast

import msgspec
import uvloop

from tests.benchmarks.processes import Servant
from tests.benchmarks.sink import ANSWER, END_OF_HEAD, LISTEN_BACKLOG, request_of

_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno"
#: How long a slow receiver takes (seconds); an attempt is given up after 10.
SLOW_SECONDS = 9.0
#: A webhook's body begins with its event's id.
_BEFORE_ID = len(b'{"id":"')
_NOTED = "noted"

#: (path, for when it was scheduled, how late it was), both in nanoseconds.
Arrival = tuple[str, int, int]


class Receivers:
    """The process, as the harness sees it."""

    def __init__(self, log: Path) -> None:
        self.program = Servant("the receivers", "tests.benchmarks.receivers", log)

    def start(self) -> None:
        """Waits until they listen."""
        self._port = int(self.program.expect())

    def url(self, path: str) -> str:
        """Where to post."""
        return f"http://127.0.0.1:{self._port}{path}"

    def await_noted(self, count: int, seconds: float) -> bool:
        """Waits until so many events have arrived in all; False where that takes longer than `seconds`."""
        self.program.write_line(f"noted {count}")
        return self.program.read_line(seconds) == _NOTED

    def repeats(self) -> int:
        """Return the number of requests whose event had arrived before."""
        self.program.write_line("repeats")
        return int(self.program.expect())

    def arrivals(self, since: int, till: int) -> Sequence[Arrival]:
        """The events that were scheduled in that time and have arrived."""
        self.program.write_line(f"arrivals {since} {till}")
        return msgspec.json.decode(self.program.expect(), type=list[Arrival])


class _Book:
    """What arrived, and who wants to know."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._arrivals: list[Arrival] = []
        self._wanted: int | None = None
        self._repeats = 0

    def note(self, path: bytes, body: bytes) -> None:
        now = monotonic_ns()
        event = body[_BEFORE_ID : body.index(b'"', _BEFORE_ID)]
        if event in self._seen:
            self._repeats += 1
        else:
            self._seen.add(event)
            first = event.partition(b"-")[0]
            scheduled = int(first) if first.isdigit() else now
            self._arrivals.append((path.decode(), scheduled, now - scheduled))
            self._look()

    def obey(self, line: bytes) -> None:
        match line.split():
            case [b"noted", count]:
                self._wanted = int(count)
                self._look()
            case [b"repeats"]:
                _say(b"%d" % self._repeats)
            case [b"arrivals", since, till]:
                first, last = int(since), int(till)
                _say(msgspec.json.encode([each for each in self._arrivals if first <= each[1] < last]))

    def _look(self) -> None:
        if self._wanted is not None and len(self._arrivals) >= self._wanted:
            self._wanted = None
            _say(_NOTED.encode())


class _Requests(asyncio.Protocol):
    """One connection; its client waits for an answer before it posts again."""

    def __init__(self, book: _Book) -> None:
        self._book = book
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes, and have their methods.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        head, end, body = self._unread.partition(END_OF_HEAD)
        if not end:
            return
        path, length = request_of(head)
        if len(body) >= length:
            self._unread = body[length:]
            self._receive(path, body)

    def _receive(self, path: bytes, body: bytes) -> None:
        match path.split(b"/", 2)[1]:
            case b"notes":
                self._transport.write(ANSWER)
                self._book.note(path, body)
            case b"pauses":
                pause = int(path.rpartition(b"/")[2]) / 1000
                asyncio.get_running_loop().call_later(pause, self._transport.write, ANSWER)
                self._book.note(path, body)
            case b"takes":
                self._transport.write(ANSWER)
            case b"refuses":
                self._transport.write(_ERROR)
            case b"slow":
                asyncio.get_running_loop().call_later(SLOW_SECONDS, self._transport.write, ANSWER)


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.flush()


def _obeying(obey: Callable[[bytes], None], over: "asyncio.Future[None]") -> Callable[[], None]:
    unread = b""

    def read() -> None:
        nonlocal unread
        piece = os.read(sys.stdin.fileno(), 65536)
        if not piece:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            over.set_result(None)
            return
        *lines, unread = (unread + piece).split(b"\n")
        for line in lines:
            obey(line)

    return read


async def _serve() -> None:
    book = _Book()
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    server = await loop.create_server(lambda: _Requests(book), "127.0.0.1", 0, backlog=LISTEN_BACKLOG)
    loop.add_reader(sys.stdin.fileno(), _obeying(book.obey, over))
    _say(str(server.sockets[0].getsockname()[1]).encode())
    await over


if __name__ == "__main__":
    uvloop.run(_serve())
