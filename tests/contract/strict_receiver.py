"""A receiver over TLS that demands a client certificate, and says why it refuses one, as OpenSSL's servers do.

asyncio's servers close the connection before their alert is sent, so this one has threads.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from threading import Thread


class StrictReceiver:
    """Answers each request with 200, and closes."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/hook"
        self.taken = 0
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            with self._context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as connection:
                self._answer(connection)

    def _answer(self, connection: ssl.SSLSocket) -> None:
        try:
            connection.do_handshake()
            connection.recv(65536)
            self.taken += 1
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        except OSError:
            # The alert is sent. What the client has sent meanwhile is read, or closing would reset the connection.
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_WR)
                while socket.socket.recv(connection, 65536):
                    pass
