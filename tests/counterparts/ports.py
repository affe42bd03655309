"""TCP ports of loopback for servers under test."""

import socket
from contextlib import suppress
from random import randrange

#: Below the ports that Linux, macOS and Windows take for outgoing connections.
PORTS = (20_000, 32_000)
#: A listening server accepts a connection of loopback within this time (seconds).
CONNECT_SECONDS = 0.5


def free_port() -> int:
    """Return a port of loopback that nobody uses now and that no system gives to an outgoing connection."""
    while True:
        port = randrange(*PORTS)
        with socket.socket() as taken, suppress(OSError):
            taken.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    """Return whether somebody accepts connections at a port of loopback."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), CONNECT_SECONDS):
        return True
    return False
