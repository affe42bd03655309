"""TCP ports of loopback for servers under test."""

import os
import socket
from contextlib import suppress
from random import randrange

#: Below the ports that Linux, macOS and Windows take for outgoing connections.
PORTS = (20_000, 32_000)
#: A listening server accepts a connection of loopback within this time (seconds).
CONNECT_SECONDS = 0.5
#: Each worker of pytest-xdist has ports of its own, so that none is taken between its choice and its use.
_WORKERS = 16
_given: set[int] = set()


def free_port() -> int:
    """Return a port of loopback that nobody uses now and that no system gives to an outgoing connection.

    No test of the same run is given it again.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    while True:
        port = randrange(PORTS[0] + worker, PORTS[1], _WORKERS)
        with socket.socket() as taken, suppress(OSError):
            taken.bind(("127.0.0.1", port))
            # Only where most are given may one be given again.
            if port not in _given or len(_given) > (PORTS[1] - PORTS[0]) // _WORKERS // 2:
                _given.add(port)
                return port


def listens(port: int) -> bool:
    """Return whether somebody accepts connections at a port of loopback."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), CONNECT_SECONDS):
        return True
    return False
