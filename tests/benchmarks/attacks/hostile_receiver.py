"""A customer's receiver whose answers are made to hurt: characters that command terminals, bombs, and floods.

A request to `/<name of a flood>` is answered with that flood; any other with the next of the short answers.
"""

import asyncio
import gzip
from collections.abc import Mapping
from contextlib import suppress
from itertools import cycle

from tests.benchmarks.attacks.target import HOST

_CONTROLS = "".join(map(chr, (*range(1, 32), 0x7F, *range(0x80, 0xA0), 0x202E, 0x2066, 0x200B))).encode()


def _answer(status: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])


#: Most are successes, so that no circuit opens for long.
ANSWERS = (
    _answer(b"200 OK", _CONTROLS * 1_000, b"Content-Type: text/plain; charset=utf-8"),
    _answer(b"200 \xc2\x9b2J\xe2\x80\xae", b"\x1b]0;owned\x07" * 6_000),
    _answer(b"200 OK", gzip.compress(bytes(1 << 26)), b"Content-Encoding: gzip"),
    _answer(b"200 OK", b"\xff\xfe\x1b[2J" * 10_000, b"Content-Type: text/plain; charset=utf-16"),
    _answer(b"500 \x1b[31mred", _CONTROLS * 1_000, b"Retry-After: Sun, " + b"(" * 7_000),
)

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_PIECE_BYTES = 64 * 1024
#: Pause between two pieces (seconds): 12.5 MB/s on each connection.
_PAUSE_SECONDS = 0.005
#: How each flood begins, and what follows without end.
FLOODS: Mapping[str, tuple[bytes, bytes]] = {
    "interim-answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "early-hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </" + b"y" * 4_000 + b">\r\n\r\n"),
    "line-ends": (b"", b"\r\n"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "one-header": (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "malformed-headers": (b"HTTP/1.1 200 OK\r\n", b"X : y\r\n"),
    "answers": (b"", _OK),
    "body": (b"HTTP/1.1 200 OK\r\n\r\n", b"y"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\ny\r\n"),
    "chunk-extensions": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"y"),
}


async def pour(writer: asyncio.StreamWriter, begin: bytes, piece: bytes) -> None:
    """Write the beginning, and the piece again and again until the connection ends."""
    writer.write(begin)
    piece *= _PIECE_BYTES // len(piece)
    while not writer.transport.is_closing():
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(_PAUSE_SECONDS)


async def serve() -> int:
    """Listen for as long as the loop runs; answer the port."""
    answers = cycle(ANSWERS)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)
                path = head.split(b" ")[1].decode().strip("/")
                if path in FLOODS:
                    with suppress(OSError):
                        await pour(writer, *FLOODS[path])
                    return
                writer.write(next(answers))
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(handle, HOST, 0)
    return int(server.sockets[0].getsockname()[1])
