"""The sockets that deliverers dial with."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any


class DiallingSocket(socket.socket):
    """A socket that reports "no route" if this machine has no address from which to reach the peer.

    Linux reports EADDRNOTAVAIL in two cases. In the first, the receiver has an IPv6 address and this machine has none:
    this concerns one receiver and does not pass. In the second, all local ports are in use: this is our own
    exhaustion, which slows the whole process down. No receiver may cause the second by its address.
    """

    def connect(self, address: Any) -> None:
        """Connect like `socket.socket.connect`. Raises `OSError`; EADDRNOTAVAIL means that no local port is free."""
        try:
            super().connect(address)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL and not _has_source_address(self.family, address):
                raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH)) from None
            raise


def _has_source_address(family: int, address: Any) -> bool:
    """Return whether this machine has an address from which to reach the peer.

    It connects a UDP socket, which sends nothing and needs no TCP port.
    """
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True
