"""A customer's STOMP broker that floods. The name in `login` chooses the flood."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from tests.benchmarks.attacks.hostile_receiver import pour
from tests.benchmarks.attacks.target import HOST

_CONNECTED = b"CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0"
#: How each flood begins, and what follows without end.
STOMP_FLOODS: Mapping[str, tuple[bytes, bytes]] = {
    "no session": (b"", b"\n"),
    "line ends": (_CONNECTED, b"\n"),
    "one receipt": (_CONNECTED, b"RECEIPT\nreceipt-id:1\n\n\0"),
    "other frames": (_CONNECTED, b"MESSAGE\nmessage-id:1\n\n\0"),
    "headers": (_CONNECTED + b"ERROR\n", b"a:b\n"),
    "one header": (_CONNECTED + b"ERROR\na:", b"b"),
    "a body": (_CONNECTED + b"ERROR\n\n", b"y"),
}


async def serve() -> int:
    """Listen for as long as the loop runs; return the port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\0")).decode()
            logins = [line.partition(":")[2] for line in head.split("\n") if line.startswith("login:")]
            with suppress(OSError):
                await pour(writer, *STOMP_FLOODS[logins[0]])
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(handle, HOST, 0)
    return int(server.sockets[0].getsockname()[1])
