"""The receiver that everybody posts to: as little as can answer a POST, so that it is never what is measured.

Run as a module it serves on loopback, says its port, and then answers the lines that it is sent:

    count PATH          the number of requests that PATH has had
    expect PATH COUNT   "reached", as soon as PATH has had so many
"""

import asyncio
import os
import sys
from collections import Counter
from pathlib import Path
from typing import cast

import uvloop

from tests.benchmarks.processes import Servant

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"
LISTEN_BACKLOG = 1024
_REACHED = "reached"


class Sink:
    """The sink's process, as the harness sees it."""

    def __init__(self, log: Path) -> None:
        self.program = Servant("the sink", "tests.benchmarks.sink", log)

    def start(self) -> None:
        """Waits until it listens."""
        self._port = int(self.program.expect())

    def url(self, path: str) -> str:
        """Where to post, for requests that are to be counted under `path`."""
        return f"http://127.0.0.1:{self._port}{path}"

    def count(self, path: str) -> int:
        """How many requests it has had there."""
        self.program.write_line(f"count {path}")
        while (answer := self.program.expect()) == _REACHED:
            self._reached = True
        return int(answer)

    def expect(self, path: str, count: int) -> None:
        """Asks for a notice, which reached() awaits."""
        self._reached = False
        self.program.write_line(f"expect {path} {count}")

    def reached(self, seconds: float) -> bool:
        """True once it has had what was expected; False where that takes longer than `seconds`."""
        self._reached = self._reached or self.program.read_line(seconds) == _REACHED
        return self._reached


class _Tally:
    """What came, and who wants to know."""

    def __init__(self) -> None:
        self.counts: Counter[bytes] = Counter()
        self._expected: tuple[bytes, int] | None = None

    def count(self, path: bytes) -> None:
        self.counts[path] += 1
        if self._expected is not None and self._expected[0] == path:
            self._look()

    def obey(self, line: bytes) -> None:
        match line.split():
            case [b"count", path]:
                _say(str(self.counts[path]))
            case [b"expect", path, count]:
                self._expected = path, int(count)
                self._look()

    def _look(self) -> None:
        assert self._expected is not None
        path, count = self._expected
        if self.counts[path] >= count:
            self._expected = None
            _say(_REACHED)


class _Requests(asyncio.Protocol):
    """One connection. A body is counted, and not kept."""

    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._head = b""
        self._path = b""
        #: Bytes of the body that are still to come; 0 between requests.
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes, and have their methods.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        while data:
            if self._missing:
                taken = min(self._missing, len(data))
                self._missing -= taken
                data = data[taken:]
            else:
                self._head += data
                end = self._head.find(END_OF_HEAD)
                if end < 0:
                    return
                head, data, self._head = (
                    self._head[:end],
                    self._head[end + len(END_OF_HEAD) :],
                    b"",
                )
                self._path, self._missing = request_of(head)
            if not self._missing:
                self._transport.write(ANSWER)
                self._tally.count(self._path)


def request_of(head: bytes) -> tuple[bytes, int]:
    """The path, and the length of the body in bytes."""
    path = head.split(b" ", 2)[1]
    lowered = head.lower()
    at = lowered.find(_LENGTH)
    if at < 0:
        return path, 0
    line, _, _ = lowered[at + len(_LENGTH) :].partition(b"\r\n")
    return path, int(line)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _serve() -> None:
    tally = _Tally()
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    unread = b""

    def obey() -> None:
        nonlocal unread
        piece = os.read(sys.stdin.fileno(), 65536)
        if not piece:
            loop.remove_reader(sys.stdin.fileno())
            over.set_result(None)
            return
        *lines, unread = (unread + piece).split(b"\n")
        for line in lines:
            tally.obey(line)

    server = await loop.create_server(lambda: _Requests(tally), "127.0.0.1", 0, backlog=LISTEN_BACKLOG)
    loop.add_reader(sys.stdin.fileno(), obey)
    _say(str(server.sockets[0].getsockname()[1]))
    await over


if __name__ == "__main__":
    uvloop.run(_serve())
