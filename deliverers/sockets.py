"""The sockets that deliverers dial with."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any


class DiallingSocket(socket.socket):
    """A socket that says "no route" where this machine has no address to reach the peer from.

    Linux says EADDRNOTAVAIL for that, as where a receiver has an IPv6 address and this machine has none, and where all
    local ports are in use. The first is said of one receiver and does not pass. The second is our own exhaustion, which
    slows the whole process down: no receiver may cause it by its address.
    """

    def connect(self, address: Any) -> None:
        """As `socket.socket.connect`. Raises `OSError`; EADDRNOTAVAIL means that no local port is free."""
        try:
            super().connect(address)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL and not _has_source_address(self.family, address):
                raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH)) from None
            raise


def _has_source_address(family: int, address: Any) -> bool:
    """Connect a UDP socket, which sends nothing and needs no port of TCP, to see whether there is an address for it."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True
